"""Merge what `tools/harvest.py` recorded into the tables that dsbridge reads.

    python tools/merge_versions.py

writes `dsbridge/deepspeed/key_versions.json`: of the keys that a spec can write, those a version does not
know; `strict_keys.json`: all keys of the blocks in which DeepSpeed refuses an unknown one; and
`fields.json`: every field of every block with the versions in which it is so, for the prediction;
`zero_reads.json`: the stages that read each key of `zero_optimization` (tools/harvest_zero_reads.py).
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
FIELDS = TABLE.with_name("fields.json")
READS = TABLE.with_name("zero_reads.json")
READS_RECORDED = RECORDED.with_name("zero_reads")
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


def harvests() -> dict[str, dict[str, Any]]:
    """What was harvested, oldest version first."""
    found = {p.stem: json.loads(p.read_text()) for p in RECORDED.glob("*.json")}
    return {name: found[name] for name in sorted(found, key=lambda text: [int(n) for n in text.split(".")])}


def ranges(rows: dict[str, Any], versions: list[str]) -> list[dict[str, Any]]:
    """One row for each run of versions in which it is the same.

    No `since`: from the first version on; no `until`: to the last.
    """
    found: list[dict[str, Any]] = []
    last: Any = None
    for version in versions:
        row = rows.get(version)
        if row is not None and row == last:
            found[-1]["until"] = version
        elif row is not None:
            found.append({**row, "since": version, "until": version})
        last = row
    for row in found:
        if row["since"] == versions[0]:
            del row["since"]
        if row["until"] == versions[-1]:
            del row["until"]
    return found


def fields() -> dict[str, Any]:
    """Blocks with their fields, and what may be named in them, each with its versions."""
    found = harvests()
    versions = list(found)
    return {
        "generator": "tools/merge_versions.py from tests/recorded/deepspeed/zero_fields",
        "versions": versions,
        "blocks": {
            name: _block({v: h["blocks"][name] for v, h in found.items() if name in h["blocks"]}, versions)
            for name in dict.fromkeys(name for h in found.values() for name in h["blocks"])
        },
        "top_level": _fields({v: h["top_level"] for v, h in found.items()}, versions),
        "removed": {
            place: _texts({v: h["removed"][place] for v, h in found.items()}, versions)
            for place in ("top_level", "zero_optimization")
        },
        "optimizers": _texts({v: dict.fromkeys(h["optimizers"], "") for v, h in found.items()}, versions),
        **{
            kind: {
                name: ranges({v: h[kind][name] for v, h in found.items() if name in h[kind]}, versions)
                for name in dict.fromkeys(name for h in found.values() for name in h[kind])
            }
            for kind in ("optimizer_classes", "torch_optimizers", "scheduler_classes", "torch_schedulers")
        },
    }


def zero_reads() -> dict[str, Any]:
    """The stages that read each key of `zero_optimization`, for those that any stage reads.

    A key that only a rare set-up reads, such as `zenflow`, is in no run and so not in the table.
    """
    found = {name: _reads(name) for name in harvests()}
    versions = list(found)
    keys = sorted({key for rows in found.values() for key in rows})
    newest = harvests()[versions[-1]]["blocks"]["zero_optimization"]["fields"]
    defaults = {row["alias"] or row["name"]: row["default"] for row in newest}
    return {
        "generator": "tools/merge_versions.py from tests/recorded/deepspeed/zero_reads",
        "versions": versions,
        "keys": {
            key: ranges({v: {"stages": rows[key]} for v, rows in found.items() if key in rows}, versions)
            for key in keys
        },
        "defaults": {key: defaults[key] for key in keys if key in defaults},
    }


def _reads(version: str) -> dict[str, list[int]]:
    recorded = json.loads((READS_RECORDED / f"{version}.json").read_text())
    keys: dict[str, list[int]] = {}
    for stage, names in recorded["reads"].items():
        for name in names:
            keys.setdefault(name, []).append(int(stage))
    return keys


def _block(found: dict[str, dict[str, Any]], versions: list[str]) -> dict[str, Any]:
    """How the block is read (a model, or key by key), and its fields in their order."""
    names = ("source", "class", "extra", "validators")
    kinds = {v: {name: b[name] for name in names if name in b} for v, b in found.items()}
    for kind in kinds.values():
        kind["source"] = kind["source"].partition(":")[0]
    return {"read": ranges(kinds, versions), "fields": _fields(found, versions)}


def _fields(found: dict[str, dict[str, Any]], versions: list[str]) -> list[dict[str, Any]]:
    rows = {v: {field["name"]: field for field in b["fields"]} for v, b in found.items()}
    order = _order([list(rows[v]) for v in reversed(list(rows))])
    return [
        row for name in order for row in ranges({v: r[name] for v, r in rows.items() if name in r}, versions)
    ]


def _order(lists: list[list[str]]) -> list[str]:
    """The names of all lists; one that only a later list has comes after the one before it there."""
    order: list[str] = []
    for names in lists:
        last = -1
        for name in names:
            if name not in order:
                order.insert(last + 1, name)
            last = order.index(name)
    return order


def _texts(found: dict[str, dict[str, str]], versions: list[str]) -> list[dict[str, Any]]:
    rows = {v: {name: {"name": name, "text": text} for name, text in b.items()} for v, b in found.items()}
    order = dict.fromkeys(name for v in reversed(list(rows)) for name in rows[v])
    return [row for n in order for row in ranges({v: r[n] for v, r in rows.items() if n in r}, versions)]


if __name__ == "__main__":
    FIELDS.write_text(json.dumps(fields(), indent=1) + "\n", encoding="utf-8")
    TABLE.write_text(json.dumps(merged(), indent=1) + "\n", encoding="utf-8")
    STRICT.write_text(json.dumps(strict(), indent=1) + "\n", encoding="utf-8")
    READS.write_text(json.dumps(zero_reads(), indent=1) + "\n", encoding="utf-8")
