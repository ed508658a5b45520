"""The keys of Accelerate's YAML and the flags of `accelerate launch`, by version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from dsbridge.rulebook import Versions
from dsbridge.sdk import Argument, Vocabulary, life, vocabulary
from dsbridge_accelerate.tables import data, held, near

SURFACES = ("yaml", "flags", "sagemaker")
PACKAGE = "accelerate"


def known(versions: Versions, surface: str) -> Vocabulary | None:
    """The YAML of `accelerate config`, that of SageMaker, or the flags; None for another surface."""
    return _known(near(versions), surface) if surface in SURFACES else None


@cache
def _known(version: str, surface: str) -> Vocabulary:
    table = data()
    if surface == "flags":
        return vocabulary(_flags(table, version), {"": life(table["unknown"]["flags"], version).value})
    unknown = {block: held(rows, version) for block, rows in table["unknown"].items() if block != "flags"}
    return vocabulary(
        _keys(table, version, surface), {block: fate for block, fate in unknown.items() if fate is not None}
    )


def _keys(table: Mapping[str, Any], version: str, surface: str) -> Iterator[tuple[bool, Argument]]:
    prefixes = held(table["prefixes"], version)
    for path, rows in table["keys"].items():
        block, _, name = path.partition(".")
        if (block == "sagemaker") == (surface == "sagemaker"):
            seen = life(rows, version)
            row = _row(name, "" if block == "sagemaker" else block, seen.value)
            prefix = prefixes.get(block, "")
            if prefix and name.startswith(prefix):
                row = row._replace(aliases=(name.removeprefix(prefix),))
            yield seen.here, row._replace(since=seen.since, until=seen.until)
    for path, row in table["older"].items():
        kind, _, name = path.partition(" ")
        if kind == "key" and surface == "yaml":
            block, _, name = name.partition(".")
            yield False, Argument(name, block, package=PACKAGE, until=row["until"])


def _flags(table: Mapping[str, Any], version: str) -> Iterator[tuple[bool, Argument]]:
    """By the text that says it, `--mixed_precision`; `kind` is "bool" where it stands alone."""
    for name, rows in table["options"].items():
        seen = life(rows, version)
        value = seen.value
        kind = "bool" if "sets" in value else "choice" if "choices" in value else value.get("type", "text")
        said = value.get("deprecated", {})
        row = _row(name, "", value | {"kind": kind})
        yield (
            seen.here,
            row._replace(
                since=seen.since,
                until=seen.until,
                owner=value["dest"],
                deprecated=said.get("text", ""),
                instead=f"--{said['instead']}" if "instead" in said else "",
            ),
        )
    for path, gone in table["older"].items():
        kind, _, name = path.partition(" ")
        if kind == "option":
            yield False, Argument(name, package=PACKAGE, until=gone["until"])


def _row(name: str, block: str, value: Mapping[str, Any]) -> Argument:
    default, choices = value.get("default"), tuple(value.get("choices", ()))
    return Argument(name, block, value["kind"], default, choices=choices, package=PACKAGE, owner=block)
