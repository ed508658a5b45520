"""Data of Accelerate by version: the flags of `accelerate launch` and the keys of its YAML."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from dsbridge.rulebook import Versions


@cache
def _data() -> dict[str, Any]:
    text = resources.files("dsbridge_accelerate").joinpath("launch_options.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def options() -> Mapping[str, Mapping[str, Any]]:
    """Every flag of any version, by the text that says it."""
    found: Mapping[str, Mapping[str, Any]] = _data()["options"]
    return found


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3] if part.isdigit())


def of_version(versions: Versions) -> dict[str, list[str]]:
    """The keys and types of the newest recorded version that is not newer than the one at hand."""
    known = _data()["versions"]
    have = _numbers(versions.get("accelerate", "")) or _numbers(list(known)[-1])
    fitting = [name for name in known if _numbers(name) <= have] or list(known)[:1]
    found: dict[str, list[str]] = known[fitting[-1]]
    return found
