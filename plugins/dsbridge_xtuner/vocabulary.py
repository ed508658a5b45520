"""The flags of `xtuner train` and the keys of its configs' top. Harvested, never written by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from dsbridge.rulebook import Versions
from dsbridge.sdk import Argument, Vocabulary, vocabulary

SURFACES = ("config", "flags")


def known(versions: Versions, surface: str) -> Vocabulary | None:
    """One version has been harvested, the last with DeepSpeed; None for another surface."""
    return _known(surface) if surface in SURFACES else None


@cache
def table() -> dict[str, Any]:
    """The whole table."""
    found: dict[str, Any] = json.loads(Path(__file__).with_name("arguments.json").read_text(encoding="utf-8"))
    return found


@cache
def _known(surface: str) -> Vocabulary:
    """A config is a Python file, where any name may stand for the author's own use: none is refused."""
    rows = _flags() if surface == "flags" else _keys()
    return vocabulary(((True, row) for row in rows), {"": table()["unknown"][surface]})


def _flags() -> Iterator[Argument]:
    """By the text that says it."""
    for dest, row in table()["flags"].items():
        for name in row["names"]:
            yield Argument(
                name,
                kind=row["kind"],
                default=row.get("default"),
                choices=tuple(row.get("choices", ())),
                package="xtuner",
                owner=dest,
            )


def _keys() -> Iterator[Argument]:
    for name, readers in table()["keys"].items():
        yield Argument(name, package="xtuner", owner=readers[0])
