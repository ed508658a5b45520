"""The catalogue of popular open models: `models.json`, written by tools/harvest_models.py, and what plugins
add to it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from dsbridge.plugins import PluginError, Registry, registry


class Entry(NamedTuple):
    """One model: `names` share its config, which holds the keys of its config.json. `published` is the size
    that its makers give."""

    name: str
    names: tuple[str, ...]
    published: str
    config: Mapping[str, Any]
    note: str = ""


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


def _named(models: Iterable[Entry]) -> dict[str, tuple[str, Entry]]:
    # of two names that differ in nothing but spelling, the first is the one in use
    names = [(name, entry) for entry in models for name in entry.names]
    return {normalised(name): (name, entry) for name, entry in reversed(names)}


@cache
def _own() -> Mapping[str, tuple[str, Entry]]:
    return _named(entries())


def _by_name(known: Registry | None) -> Mapping[str, tuple[str, Entry]]:
    """With what the plugins add. One whose entries break the contract adds nothing, and is among the
    registry's failures."""
    known = registry() if known is None else known
    if known.models is None:
        known.models = tuple(_of_plugins(known))
    return {**_named(known.models), **_own()} if known.models else _own()


def _of_plugins(known: Registry) -> Iterator[Entry]:
    taken: dict[str, object] = dict.fromkeys(_own(), "dsbridge itself")
    for origin, ask in known.ask("dsbridge_models"):
        try:
            given = [entry for several in ask() for entry in several]
            names = _held(given, taken)
        except Exception as error:  # whatever it raises is the plugin's fault, and must not stop the others
            said = " ".join(str(error).split())
            kind = "" if isinstance(error, PluginError) else f"{type(error).__name__}: "
            known.failures.append(PluginError(f"{origin}: {kind}{said}"))
        else:
            taken |= dict.fromkeys(names, origin)
            yield from given


def _held(given: Iterable[object], taken: Mapping[str, object]) -> set[str]:
    """A plugin's entries to the contract; their names."""
    from dsbridge.planner.building import from_config

    mine: set[str] = set()
    for entry in given:
        if not isinstance(entry, Entry):
            raise PluginError(f"dsbridge_models gives {type(entry).__name__}, not dsbridge.sdk.ModelEntry")
        if not entry.names:
            raise PluginError(f"model `{entry.name}` has no names")
        for name in entry.names:
            key = normalised(name)
            if key in taken or key in mine:
                raise PluginError(f"model `{name}` is already taken by {taken.get(key, 'this plugin')}")
            mine.add(key)
        from_config(entry.config, entry.name, None)  # says what cannot be counted
    return mine


def find(name: str, known: Registry | None = None) -> tuple[str, Entry] | None:
    """The name as its makers write it, and the entry; None if the catalogue has no such model."""
    found = _by_name(known).get(normalised(name))
    if found is None:
        return None
    # a model that was renamed keeps both names: the one that was asked for, where it is one of them
    asked = name.rstrip("/").lower()
    same = (full for full in found[1].names if f"/{full.lower()}".endswith(f"/{asked}"))
    return next(same, found[0]), found[1]


def near(name: str, known: Registry | None = None) -> tuple[str, ...]:
    """Up to three names of the catalogue that look like this one."""
    among = _by_name(known)
    return tuple(among[key][0] for key in get_close_matches(normalised(name), among, n=3, cutoff=0.6))
