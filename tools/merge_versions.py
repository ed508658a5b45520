"""Merge what `tools/harvest.py` recorded into the tables that dsbridge reads.

    python tools/merge_versions.py

writes `dsbridge/deepspeed/key_versions.json`: of the keys that a spec can write, those a version does not
know; and `strict_keys.json`: all keys of the blocks in which DeepSpeed refuses an unknown one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dsbridge.deepspeed.config import ds_key_of
from dsbridge.deepspeed.optimizer import TYPES
from dsbridge.spec.leaves import leaf_paths

ROOT = Path(__file__).parent.parent
RECORDED = ROOT / "tests" / "recorded" / "deepspeed" / "zero_fields"
TABLE = ROOT / "dsbridge" / "deepspeed" / "key_versions.json"
STRICT = TABLE.with_name("strict_keys.json")
# a block's own name in the JSON -> where its model was harvested
NESTED = {"tensor_parallel.tensor_parallel": "tensor_parallel.tp"}


def merged() -> dict[str, Any]:
    """The table: for each version the keys it refuses, those it ignores, and the optimizers it lacks."""
    versions = {p.stem: json.loads(p.read_text()) for p in sorted(RECORDED.glob("*.json"))}
    return {
        "generator": "tools/merge_versions.py from tests/recorded/deepspeed/zero_fields",
        "versions": {name: _missing(harvest) for name, harvest in versions.items()},
    }


def _missing(harvest: dict[str, Any]) -> dict[str, list[str]]:
    refused, ignored = [], []
    for key in sorted({k for p in leaf_paths() if (k := ds_key_of(p))} | set(_TENSOR_PARALLEL)):
        block, _, name = key.rpartition(".")
        found = harvest["blocks"].get(NESTED.get(block, block))
        if found is None:
            strict = block.startswith("zero_optimization.")
            # a block unknown to its parent, or one that is read by constants of the top level
            known = not strict and name in _flat(harvest) and block != "tensor_parallel"
        else:
            strict = found.get("extra") == "forbid"
            known = name in {n for f in found["fields"] for n in (f["name"], f.get("alias"))}
        if not known:
            (refused if strict else ignored).append(key)
    lacking = [name for name in TYPES if name != "sgd" and name not in harvest["optimizers"]]
    return {"refused": refused, "ignored": ignored, "no_optimizer": lacking}


def _flat(harvest: dict[str, Any]) -> set[str]:
    return {field["name"] for field in harvest["top_level"]["fields"]}


_TENSOR_PARALLEL = (
    "tensor_parallel.autotp_size",
    "tensor_parallel.tp_overlap_comm",
    "tensor_parallel.tensor_parallel.tp_grain_size",
    "tensor_parallel.preset_model",
)


def strict() -> dict[str, Any]:
    """For each version, the names that each strict block takes."""
    versions = {p.stem: json.loads(p.read_text()) for p in sorted(RECORDED.glob("*.json"))}
    return {
        "generator": "tools/merge_versions.py from tests/recorded/deepspeed/zero_fields",
        "versions": {
            name: {
                block: sorted({n for f in found["fields"] for n in (f["name"], f.get("alias")) if n})
                for block, found in harvest["blocks"].items()
                if found.get("extra") == "forbid"
            }
            for name, harvest in versions.items()
        },
    }


if __name__ == "__main__":
    TABLE.write_text(json.dumps(merged(), indent=1) + "\n", encoding="utf-8")
    STRICT.write_text(json.dumps(strict(), indent=1) + "\n", encoding="utf-8")
