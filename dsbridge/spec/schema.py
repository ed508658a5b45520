"""The JSON Schema of a spec, made from the declarations that load it."""

from __future__ import annotations

from typing import Any

from dsbridge.spec import ParallelSpec
from dsbridge.spec.setting import Meaning, Part, Section, declared_fields

SCHEMA_NAME = "dsbridge.schema.json"


def spec_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of `dsbridge.yaml`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "dsbridge parallelism spec",
        **_object(ParallelSpec),
    }


def _object(of: type[Part]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for key, declared in declared_fields(of).items():
        if isinstance(declared, Section):
            nested = _object(declared.of)
            properties[key] = {**nested, "type": ["object", "null"], "description": declared.doc}
        else:
            properties[key] = _property(declared)
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _property(known: Meaning) -> dict[str, Any]:
    described = known.doc
    if known.deepspeed:
        described += f" DeepSpeed: {known.deepspeed}."
    schema = known.kind.json_schema()
    # null is read as not given, as in `micro_per_gpu:` with nothing behind it
    return {"anyOf": [schema, {"type": "null"}], "description": described}
