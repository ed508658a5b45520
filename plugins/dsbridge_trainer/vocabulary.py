"""The names that TrainingArguments and TRL's classes take, by version, from the harvested tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from dsbridge.rulebook import Versions
from dsbridge.sdk import REFUSED, Argument, Vocabulary, life, vocabulary
from dsbridge_trainer import table, trl_table

SURFACES = ("TrainingArguments", "flags")
BLOCKS = ("accelerator_config", "fsdp_config")
PACKAGE = "transformers"


def known(versions: Versions, surface: str) -> Vocabulary | None:
    """TrainingArguments(...), HfArgumentParser's flags, or a class of TRL's; None for another surface."""
    transformers = table.of(versions)
    if surface in SURFACES:
        return _own(transformers, surface)
    return _trl(transformers, trl_table.of(versions), surface) if trl_table.known(surface) else None


@cache
def _own(version: str, surface: str) -> Vocabulary:
    return vocabulary(rows(version), fates(version, surface))


def fates(version: str, surface: str) -> dict[str, str]:
    """What becomes of a name that is no argument, by block."""
    held = table.raw()["unknown"]
    top = "flags" if surface == "flags" else "keywords"
    return {block: _at(held[block or top], version) for block in ("", *BLOCKS)}


def _at(found: list[dict[str, Any]], version: str) -> Any:
    return life(found, version).value


def rows(version: str) -> Iterator[tuple[bool, Argument]]:
    """Every argument of any version, with whether this one has it."""
    data = table.raw()
    for name, row in data["older"].items():
        yield False, _gone(name, row)
    for name, found in data["fields"].items():
        yield _row(name, "", found, version, _said(name, version))
    for path, found in data["nested"].items():
        block, _, name = path.partition(".")
        have, row = _row(name, block, found, version, {})
        # the Trainer takes fsdp_config's keys with the prefix too (5.23.0 training_args.py:2876)
        yield have, row._replace(aliases=(f"fsdp_{name}",)) if block == "fsdp_config" else row


def inherited(version: str) -> Iterator[tuple[bool, Argument]]:
    """Those of Seq2SeqTrainingArguments, which LLaMA-Factory's class derives from."""
    yield from rows(version)
    for name, found in table.raw()["seq2seq"].items():
        have, row = _row(name, "", found, version, {})
        yield have, row._replace(owner="Seq2SeqTrainingArguments")


def _said(name: str, version: str) -> Mapping[str, str]:
    """What a version, or the last that had the name, calls deprecated; nothing if it does so only later."""
    found = table.raw()["deprecated"].get(name)
    if found is None:
        return {}
    seen = life(found, version)
    ended = bool(seen.until) and not life(table.raw()["fields"][name], version).here
    said: Mapping[str, str] = seen.value if seen.here or ended else {}
    return said


def _gone(name: str, row: Mapping[str, str]) -> Argument:
    return Argument(
        name,
        package=PACKAGE,
        owner="TrainingArguments",
        until=row["until"],
        deprecated=row.get("text", ""),
        instead=row.get("instead", ""),
    )


def _row(
    name: str, block: str, found: Iterable[Mapping[str, Any]], version: str, said: Mapping[str, str]
) -> tuple[bool, Argument]:
    seen = life(found, version)
    row = argument(name, block, seen.value, PACKAGE, "TrainingArguments")
    return seen.here, row._replace(
        since=seen.since,
        until=seen.until,
        deprecated=said.get("text", ""),
        instead=said.get("instead", ""),
    )


def argument(name: str, block: str, row: Mapping[str, Any], package: str, owner: str) -> Argument:
    """A row of a table of dataclass fields."""
    return Argument(
        name,
        block,
        row["kind"],
        row.get("default"),
        row.get("required", False),
        tuple(row.get("choices", ())),
        package=package,
        owner=owner,
    )


@cache
def _trl(transformers: str, trl: str, name: str) -> Vocabulary:
    """A class of TRL's: its own fields over TrainingArguments', where it derives from that."""
    found = {(row.block, row.name): (have, row) for have, row in _inherited(transformers, name)}
    for field, spans in trl_table.raw()[name].items():
        if field.startswith("+"):
            seen = life(spans, trl)
            row = argument(field[1:], "", seen.value, "trl", name)
            if seen.here or ("", row.name) not in found:
                found["", row.name] = (seen.here, row._replace(since=seen.since, until=seen.until))
    unknown = fates(transformers, name) if trl_table.is_arguments(name) else {"": REFUSED}
    return vocabulary(found.values(), unknown)


def _inherited(version: str, name: str) -> Iterable[tuple[bool, Argument]]:
    return rows(version) if trl_table.is_arguments(name) else ()
