"""`--name value` words as HfArgumentParser reads them: converted by the argument's kind."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from dsbridge.rulebook import COMMAND, Words
from dsbridge.sdk import Source
from dsbridge_trainer import table

_TRUE, _FALSE = ("yes", "true", "t", "y", "1"), ("no", "false", "f", "n", "0")


class Argument(NamedTuple):
    """A row of arguments.json: the class it is in, what argparse makes of its text, and its versions."""

    package: str
    label: str
    kind: str
    choices: tuple[Any, ...]
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
    found = json.loads(Path(__file__).with_name("arguments.json").read_text(encoding="utf-8"))
    return tuple(
        (name, Argument(package, label, kind, tuple(choices), since, until))
        for package in ("transformers", "llamafactory")
        for name, (label, kind, choices, since, until) in found[package].items()
    )


@cache
def known_arguments() -> dict[str, Argument]:
    """The arguments by name; LLaMA-Factory's own wins."""
    return dict(rows())


def names(label: str) -> frozenset[str]:
    """The names of one class, of any version."""
    return frozenset(name for name, row in rows() if row.label == label)


def _argument(name: str, version: str) -> Argument | None:
    """An argument as this version of transformers takes it: its enums are choices on the command line."""
    row = known_arguments().get(name)
    if row is None or row.package != "transformers":
        return row
    choices = table.fields(version).get(name, {}).get("choices", ())
    return row._replace(kind="choice", choices=tuple(choices)) if choices else row


def read_flags(words: Words, program: str, version: str = table.NEWEST) -> Flags:
    """Read the words; argparse stops at the first it cannot convert. version: of transformers."""
    values: dict[str, Any] = {}
    sources: dict[str, Source] = {}
    unused: list[str] = []
    problem: dict[str, Any] | None = None
    for index, name, texts in _options(words.items):
        row = _argument(name.replace("-", "_"), version)
        if row is None:
            unused += texts if not name else [words.items[index], *texts]
            continue
        taken, rest = _taken(row, texts)
        unused += rest
        name = name.replace("-", "_")
        sources[name] = Source(COMMAND, None, words.first + index)
        try:
            values[name] = _converted(row, taken)
        except ValueError as error:
            problem = {
                "type": "SystemExit",
                "message": f"{program}: error: argument --{name}…: {error}",
                "name": name,
            }
            break
    return Flags(values, sources, unused, problem)


def _options(items: Sequence[str]) -> Iterator[tuple[int, str, list[str]]]:
    """Each option's place and name with the words up to the next one; "" names words that follow none."""
    index = 0
    while index < len(items):
        start, word = index, items[index]
        name, texts = "", [word]
        if word.startswith("--"):
            name, equals, text = word[2:].partition("=")
            texts = [text] if equals else []
        index += 1
        if word.startswith("--") and "=" in word:
            yield start, name, texts
            continue
        while name and index < len(items) and not items[index].startswith("--"):
            texts.append(items[index])
            index += 1
        yield start, name, texts


def _taken(row: Argument, texts: list[str]) -> tuple[list[str], list[str]]:
    return (texts, []) if row.kind == "list" else (texts[:1], texts[1:])


def _converted(row: Argument, texts: list[str]) -> Any:
    if row.kind == "list":
        return list(texts)
    if row.kind == "bool":
        return _bool(texts[0]) if texts else True
    if not texts:
        raise ValueError("expected one argument")
    text = texts[0]
    if row.kind in ("int", "float"):
        try:
            return int(text) if row.kind == "int" else float(text)
        except ValueError:
            raise ValueError(f"invalid {row.kind} value: {text!r}") from None
    if row.kind == "choice":
        by_text = {str(choice): choice for choice in row.choices}
        if text not in by_text:
            raise ValueError(f"invalid choice: {text!r} (choose from …)")
        return by_text[text]
    return text


def _bool(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError("…")
