"""A DeepSpeed config that no framework's file names: what would be wrong with it under every framework."""

from __future__ import annotations

import json
from typing import Any

from dsbridge.diagnostics import InputError
from dsbridge.explaining import Explanation, explain_input
from dsbridge.inputs import read_input
from dsbridge.plugins import Registry
from dsbridge.resolve import Refused
from dsbridge.subjects.dsfile import DsFile
from dsbridge.subjects.unit import Unit
from dsbridge.trees import lookup
from dsbridge.values import UNSET

_BATCH = ("train_batch_size", "train_micro_batch_size_per_gpu")


def probed(unit: Unit, ds: DsFile, known: Registry) -> Explanation | None:
    """The config as deepspeed.initialize would get it once somebody has filled its "auto" and its batch."""
    value: dict[str, Any] = _filled(ds.value)
    if not any(isinstance(value.get(name), int) for name in _BATCH):
        value = {k: v for k, v in value.items() if k not in _BATCH} | {"train_micro_batch_size_per_gpu": 1}
    name = "ds_config.json"
    files = unit.files.over({name: json.dumps(value)})
    try:
        found = read_input(known, files, (name,), (), "deepspeed", unit.facts, unit.versions)
    except InputError:
        return None
    return explain_input(found, known, onward=True)


def _filled(value: Any) -> Any:
    """With a number for what optimizers and schedulers are given, else DeepSpeed's own default."""
    if not isinstance(value, dict):
        return value
    made = {key: _filled(item) for key, item in value.items() if item != "auto" and key != "params"}
    if isinstance(value.get("params"), dict):
        numbers = {"betas": [0.9, 0.999]}
        params = value["params"].items()
        made["params"] = {key: numbers.get(key, 1) if item == "auto" else item for key, item in params}
    return made


def at_fault(explanation: Explanation, ds: DsFile) -> list[Refused]:
    """The refusals that are about what the config says; what it leaves to the framework is no mistake."""
    outcome = explanation.result
    every = (outcome.refused, *outcome.further) if outcome.refused else ()
    return [
        refused
        for refused in every
        if refused is not None and any(_written(field, ds) for field in refused.fields)
    ]


def _written(field: str, ds: DsFile) -> bool:
    value = lookup(ds.value, field.removeprefix("ds."))
    return value is not UNSET and value != "auto"
