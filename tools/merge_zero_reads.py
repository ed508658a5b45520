"""Merge which ZeRO stages read which keys, as tools/harvest_zero_reads.py recorded it, into one table.

    python -m tools.merge_zero_reads

writes `dsbridge/deepspeed/zero_reads.json`. A key that only a rare set-up reads, such as `zenflow`, is in no
run and so not in the table.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dsbridge.rules import numbers
from tools.merge_versions import ranges

ROOT = Path(__file__).parent.parent
RECORDED = ROOT / "tests" / "recorded" / "deepspeed" / "zero_reads"
TABLE = ROOT / "dsbridge" / "deepspeed" / "zero_reads.json"


def merged() -> dict[str, Any]:
    """The stages that read each key of `zero_optimization`, by release."""
    found = {path.stem: _reads(path) for path in RECORDED.glob("*.json")}
    versions = sorted(found, key=numbers)
    keys = sorted({key for rows in found.values() for key in rows})
    return {
        "generator": "tools/merge_zero_reads.py from tests/recorded/deepspeed/zero_reads",
        "versions": versions,
        "keys": {
            key: ranges({v: {"stages": found[v][key]} for v in versions if key in found[v]}, versions)
            for key in keys
        },
    }


def _reads(path: Path) -> dict[str, list[int]]:
    keys: dict[str, list[int]] = {}
    for stage, names in json.loads(path.read_text(encoding="utf-8"))["reads"].items():
        for name in names:
            keys.setdefault(name, []).append(int(stage))
    return keys


if __name__ == "__main__":
    TABLE.write_text(json.dumps(merged(), indent=1) + "\n", encoding="utf-8")
