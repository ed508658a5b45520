"""LLaMA-Factory's arguments, and `--name value` words as HfArgumentParser reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from dsbridge.rulebook import Words, numbers
from dsbridge.sdk import Source
from dsbridge_trainer import table
from dsbridge_trainer.flags import Bad, Option, option_of, parse

NEWEST = "0.9.5"


class Argument(NamedTuple):
    """A row of arguments.json: its class, what argparse makes of its text, default and versions."""

    package: str
    label: str
    kind: str
    choices: Mapping[str, Sequence[Any]]  # by the version of the package on which they hold
    default: Any
    since: str
    until: str


class Flags(NamedTuple):
    """Values by name, the words nobody takes, and what argparse stops with."""

    values: dict[str, Any]
    sources: Mapping[str, Source]
    unused: list[str]
    problem: Mapping[str, Any] | None


@cache
def rows() -> tuple[tuple[str, Argument], ...]:
    """Every argument of any version; a name may stand in LLaMA-Factory and in Transformers."""
    return tuple(
        (name, _argument(package, row))
        for package in ("transformers", "llamafactory")
        for name, row in _table()[package].items()
    )


@cache
def evaluation() -> dict[str, Argument]:
    """What only `llamafactory-cli eval` takes."""
    return {name: _argument("llamafactory", row) for name, row in _table()["evaluation"].items()}


def deprecated(name: str, version: str) -> str:
    """What LLaMA-Factory's own help says of one of its arguments that is on its way out; "" of any other."""
    text, since, until = _table()["deprecated"].get(name, ("", "", ""))
    have = numbers(version)
    held = (not since or numbers(since) <= have) and (not until or have < numbers(until))
    return text if held else ""


@cache
def _table() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(__file__).with_name("arguments.json").read_text(encoding="utf-8"))
    return found


def _argument(package: str, row: Sequence[Any]) -> Argument:
    label, kind, choices, default, since, until = row
    by_version = choices if isinstance(choices, dict) else {"": choices}
    return Argument(package, label, kind, by_version, default, since, until)


@cache
def known_arguments() -> dict[str, Argument]:
    """The arguments by name; LLaMA-Factory's own wins."""
    return dict(rows())


@cache
def names(label: str) -> frozenset[str]:
    """The names of one class, of any version."""
    return frozenset(name for name, row in rows() if row.label == label)


def choices(name: str, version: str) -> tuple[Any, ...]:
    """The values that this version of the argument's package takes; none where any will do."""
    held = [
        found
        for since, found in known_arguments()[name].choices.items()
        if numbers(since) <= numbers(version)
    ]
    return tuple(held[-1])


@cache
def _options(version: str, own: str) -> tuple[Option, ...]:
    """Every argument as HfArgumentParser offers it; versions of transformers and of LLaMA-Factory."""
    theirs = table.fields(version)
    return tuple(
        option_of(name, theirs[name])
        if row.package == "transformers" and name in theirs
        else Option(name, row.kind, _nargs(row.kind), choices(name, own), no=row.default is True)
        for name, row in known_arguments().items()
    )


def _nargs(kind: str) -> str:
    return {"list": "+", "bool": "?"}.get(kind, "")


def read_flags(words: Words, program: str, version: str = table.NEWEST, own: str = NEWEST) -> Flags:
    """Read the words; argparse stops at the first it cannot convert. own: LLaMA-Factory's version."""
    try:
        found = parse(words.items, _options(version, own))
    except Bad as error:
        return Flags({}, {}, [], {"type": "SystemExit", "message": f"{program}: error: {error}"})
    return Flags(found.values, {k: words.source(i) for k, i in found.places.items()}, found.left, None)


@cache
def megatron() -> tuple[str, ...]:
    """The arguments that mcore_adapter adds: with USE_MCA=1 its class stands in place of Transformers'
    (0.9.5 hparams/training_args.py:26-35)."""
    table = Path(__file__).with_name("mca_arguments.json").read_text(encoding="utf-8")
    return tuple(json.loads(table)["arguments"])
