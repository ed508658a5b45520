"""TRL's classes of arguments by release. Harvested by tools/harvest_trl.py, never written by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from dsbridge.rulebook import Versions
from dsbridge_trainer.table import held

NEWEST = "1.16.0"


@cache
def raw() -> dict[str, Any]:
    """The whole table."""
    text = resources.files("dsbridge_trainer").joinpath("trl.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def of(versions: Versions) -> str:
    """The release of TRL; the newest harvested if nobody knows."""
    return versions.get("trl", NEWEST)


def known(name: str) -> bool:
    """Some release has this class of arguments (or one that TRL's scripts parse beside them)."""
    return name.endswith(("Config", "Arguments")) and "in" in raw().get(name, {})


def is_arguments(name: str) -> bool:
    """It derives from TrainingArguments."""
    return known(name) and name not in raw()["beside"]


@cache
def rows(name: str, version: str) -> Mapping[str, Mapping[str, Any]]:
    """The fields that the class declares; in a release without the class, those of its last one."""
    table = raw()[name]
    if held(table["in"], version) is None:
        version = table["in"][-1]["since"] or raw()["versions"][0]
    found = {key[1:]: held(rows, version) for key, rows in table.items() if key.startswith("+")}
    return {key: row for key, row in found.items() if row is not None}


def defaults(name: str, version: str) -> dict[str, Any]:
    """What each declared field is if nobody gives it."""
    return {key: row["default"] for key, row in rows(name, version).items() if "default" in row}


def fills(name: str, version: str, field: str) -> bool:
    """Its own `__post_init__` assigns this field of TrainingArguments."""
    return held(raw()[name]["fills"].get(field, []), version) is not None


def exported(name: str, version: str) -> bool:
    """`from trl import NAME` works."""
    return held(raw()[name]["in"], version) is True


@cache
def parameters(trainer: str, version: str) -> tuple[str, ...]:
    """What the constructor of a trainer takes, in its order; none if it is no trainer of TRL's."""
    table = raw()["trainers"].get(trainer, ())
    return tuple(held(table, version) or (table[-1]["value"] if table else ()))


def alone(trainer: str, version: str) -> bool:
    """It prepares its models itself: PPO, and RLOO as long as it had PPO's mini-batches."""
    kind = trainer.replace("Trainer", "Config")
    own = rows(kind, version) if known(kind) else {}
    return ("num_mini_batches" in own and "num_generations" not in own) or "!" in parameters(trainer, version)
