"""TrainingArguments by version: names, order, types, defaults, choices. Harvested, never written by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from dsbridge.rulebook import Versions, numbers

NEWEST = "5.23.0"


@cache
def raw() -> dict[str, Any]:
    """The whole table."""
    text = resources.files("dsbridge_trainer").joinpath("arguments.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def of(versions: Versions) -> str:
    """The version of transformers; the newest harvested if nobody knows."""
    return versions.get("transformers", NEWEST)


def held(rows: list[dict[str, Any]], version: str) -> Any:
    """The row that holds in a version, or None."""
    have = numbers(version)
    for row in rows:
        since, until = row["since"], row["until"]
        if (not since or numbers(since) <= have) and (not until or have < numbers(until)):
            return row["value"]
    return None


@cache
def fields(version: str) -> Mapping[str, Mapping[str, Any]]:
    """The fields of a version, in their order."""
    table = raw()
    names = list(table["fields"])
    # of a version older than all that were harvested, what the oldest has
    version = max(version, table["versions"][0], key=numbers)
    found = {
        names[place]: held(table["fields"][names[place]], version) for place in held(table["order"], version)
    }
    return {name: row for name, row in found.items() if row is not None}


@cache
def enum(name: str, version: str) -> tuple[Any, ...]:
    """The values of one of transformers' enums; none if the version lacks it."""
    rows = raw()["enums"].get(name)
    return tuple(held(rows, version) or ()) if rows else ()


def defaults(version: str) -> dict[str, Any]:
    """What each field is if nobody gives it."""
    return {name: row["default"] for name, row in fields(version).items() if "default" in row}
