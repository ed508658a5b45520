"""Merge what `tools/harvest_zero_reads.py` recorded into `dsbridge/deepspeed/zero_reads.json`.

python -m tools.merge_zero_reads
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dsbridge.rules import numbers
from tools.merge_versions import ranges

ROOT = Path(__file__).parent.parent
RECORDED = ROOT / "tests" / "recorded" / "deepspeed" / "zero_reads"
READS = ROOT / "dsbridge" / "deepspeed" / "zero_reads.json"


def zero_reads() -> dict[str, Any]:
    """The stages that read each key of `zero_optimization`, for those that any stage reads.

    A key that no run read (nobody reads `allgather_partitions`) is not in the table.
    """
    found = {name: _reads(name) for name in sorted((p.stem for p in RECORDED.glob("*.json")), key=numbers)}
    versions = list(found)
    keys = sorted({key for rows in found.values() for key in rows})
    return {
        "generator": "tools/merge_zero_reads.py from tests/recorded/deepspeed/zero_reads",
        "versions": versions,
        "keys": {
            key: ranges({v: {"stages": rows[key]} for v, rows in found.items() if key in rows}, versions)
            for key in keys
        },
        "defaults": _defaults(keys),
    }


def _defaults(keys: list[str]) -> dict[str, Any]:
    """What the newest release takes for each, from the table of fields."""
    rows = json.loads(READS.with_name("fields.json").read_text(encoding="utf-8"))
    newest = [row for row in rows["blocks"]["zero_optimization"]["fields"] if "until" not in row]
    found = {row.get("alias") or row["name"]: row["default"] for row in newest}
    return {key: found[key] for key in keys if key in found}


def _recorded(version: str) -> dict[str, Any]:
    found = json.loads((RECORDED / f"{version}.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def _reads(version: str) -> dict[str, list[int]]:
    keys: dict[str, list[int]] = {}
    for stage, names in _recorded(version)["reads"].items():
        for name in names:
            keys.setdefault(name, []).append(int(stage))
    return keys


if __name__ == "__main__":
    READS.write_text(json.dumps(zero_reads(), indent=1) + "\n", encoding="utf-8")
