"""Data of Accelerate by version: the flags of `accelerate launch` and the keys of its YAML."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from dsbridge.rulebook import Versions


@cache
def data() -> dict[str, Any]:
    """The whole table."""
    text = resources.files("dsbridge_accelerate").joinpath("launch_options.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


@cache
def options() -> Mapping[str, Mapping[str, Any]]:
    """Every flag of any version, by the text that says it, as the newest that has it reads it."""
    return {name: rows[-1]["value"] for name, rows in data()["options"].items()}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3] if part.isdigit())


def near(versions: Versions) -> str:
    """The newest harvested version that is not newer than the one at hand; the newest if nobody knows."""
    known: list[str] = data()["versions"]
    have = _numbers(versions.get("accelerate", "")) or _numbers(known[-1])
    return ([name for name in known if _numbers(name) <= have] or known[:1])[-1]


def held(rows: list[dict[str, Any]], version: str) -> Any:
    """The value that a harvested version has, or None."""
    have = _numbers(version)
    for row in rows:
        since, until = row["since"], row["until"]
        if (not since or _numbers(since) <= have) and (not until or have < _numbers(until)):
            return row["value"]
    return None


def of_version(versions: Versions) -> dict[str, list[str]]:
    """The top keys of both kinds of YAML, and the values of distributed_type."""
    return _of_version(near(versions))


@cache
def _of_version(version: str) -> dict[str, list[str]]:
    rows = {name: held(found, version) for name, found in data()["keys"].items()}
    have = [name for name, row in rows.items() if row is not None and "converted" not in row]
    return {
        "cluster": [name[1:] for name in have if name.startswith(".")],
        "sagemaker": [name.partition(".")[2] for name in have if name.startswith("sagemaker.")],
        "types": held(data()["types"], version),
    }
