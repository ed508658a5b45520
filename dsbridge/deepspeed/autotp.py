"""What AutoTP does in a DeepSpeed release, as harvested (tools/harvest_autotp.py)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from dsbridge.rules import numbers

FIRST = "0.16.4"  # of `reads_block`; a test holds it to the table


@cache
def table() -> Mapping[str, Any]:
    """The whole table."""
    found = json.loads(Path(__file__).with_name("autotp.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def does(behaviour: str, version: str) -> bool:
    """Whether a DeepSpeed release has it."""
    return _within(table()["behaviours"][behaviour], version)


def since(behaviour: str) -> str:
    """The first release that has it."""
    return str(table()["behaviours"][behaviour][0]["since"])


def until(behaviour: str) -> str:
    """The first release that no longer has it; "" where every one since has."""
    return str(table()["behaviours"][behaviour][-1]["until"])


def refuses_family(family: str, version: str) -> bool:
    """Whether AutoTP's own list says that it cannot split models of this type."""
    return _within(table()["refused_families"].get(family.lower(), ()), version)


def _within(ranges: Sequence[Mapping[str, str]], version: str) -> bool:
    have = numbers(version)
    return any(
        numbers(row["since"]) <= have and (not row["until"] or have < numbers(row["until"])) for row in ranges
    )
