"""Which keys of `zero_optimization` DeepSpeed reads at which stage, by version.

`zero_reads.json` is harvested from runs of the real engine (tools/harvest_zero_reads.py, merged by
tools/merge_zero_reads.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from dsbridge.rules import numbers


@cache
def _table() -> Mapping[str, Any]:
    found = json.loads(Path(__file__).with_name("zero_reads.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


@cache
def stages_reading(name: str, version: str) -> tuple[int, ...] | None:
    """The stages that read a key, by the name it has in a config; None for a key that no run tells of.

    Between two recorded versions a stage counts that reads it in either of them.
    """
    found: set[int] = set()
    for row in _table()["keys"].get(name, ()):
        if _near(version, row):
            found.update(row["stages"])
    return tuple(sorted(found)) if found else None


def _near(version: str, row: Mapping[str, Any]) -> bool:
    recorded = sorted(_table()["versions"], key=numbers)
    have = numbers(version)
    below = [name for name in recorded if numbers(name) <= have][-1:]
    above = [name for name in recorded if numbers(name) >= have][:1]
    first = numbers(row.get("since", recorded[0]))
    last = numbers(row.get("until", recorded[-1]))
    return any(first <= numbers(name) <= last for name in {*below, *above})


def default_of(name: str) -> Any:
    """The default of a key: to write it changes nothing anywhere."""
    return _table()["defaults"].get(name)
