"""The catalogue of popular open models: `models.json`, written by tools/harvest_models.py."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """One model: `names` share its config. `published` is the size that its makers give."""

    name: str
    names: tuple[str, ...]
    published: str
    config: Mapping[str, Any]
    note: str


@cache
def entries() -> tuple[Entry, ...]:
    """Every model of the catalogue."""
    found = json.loads(Path(__file__).with_name("models.json").read_text(encoding="utf-8"))
    return tuple(
        Entry(row["name"], tuple(row["names"]), row["published"], row["config"], row.get("note", ""))
        for row in found["models"]
    )


def normalised(name: str) -> str:
    """A name without what people write differently: its owner, case, and the signs between its words.

    Meta's models of before 3.2 were renamed on the hub: `Meta-Llama-3.1-8B` is `Llama-3.1-8B` too.
    """
    plain = re.sub(r"[^a-z0-9]+", "", name.rstrip("/").rpartition("/")[2].lower())
    return plain.removeprefix("meta")


@cache
def _by_name() -> Mapping[str, tuple[str, Entry]]:
    # of two names that differ in nothing but spelling, the first is the one in use
    names = ((name, entry) for entry in reversed(entries()) for name in reversed(entry.names))
    return {normalised(name): (name, entry) for name, entry in names}


def find(name: str) -> tuple[str, Entry] | None:
    """The name as its makers write it, and the entry; None if the catalogue has no such model."""
    found = _by_name().get(normalised(name))
    if found is None:
        return None
    # a model that was renamed keeps both names: the one that was asked for, where it is one of them
    asked = name.rstrip("/").lower()
    same = (full for full in found[1].names if f"/{full.lower()}".endswith(f"/{asked}"))
    return next(same, found[0]), found[1]


def near(name: str) -> tuple[str, ...]:
    """Up to three names of the catalogue that look like this one."""
    close = get_close_matches(normalised(name), _by_name(), n=3, cutoff=0.6)
    return tuple(_by_name()[key][0] for key in close)
