"""The two inputs of diff: each a file, or a launch command."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from dsbridge.diagnostics import Code, InputError, Severity
from dsbridge.explaining import Explanation
from dsbridge.prediction import is_spec, predict
from dsbridge.reading import Files

TWO_SIDES = Code("DF001", "two-sides", Severity.ERROR, "Not two inputs to compare.")
CODES = (TWO_SIDES,)

# An input with these facts, to its explanation.
Read = Callable[[Mapping[str, Any]], Explanation]


class Side(NamedTuple):
    """One input: a file, or a launch command."""

    file: str = ""
    command: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.file or " ".join(self.command)


def sides(given: Sequence[str], command: Sequence[str], files: Files) -> tuple[Side, Side]:
    """Two arguments, each a file or a command in quotes; or what stands after `--`, twice if need be.

    Raises:
        InputError: there are not two.
    """
    found = [_side(word, files) for word in given if word.strip()]
    rest = tuple(command)
    while rest and len(found) < 2:
        at = rest.index("--") if "--" in rest and len(found) == 0 else len(rest)
        found.append(Side(command=rest[:at]))
        rest = rest[at + 1 :]
    if len(found) != 2 or rest:
        count = len(found) + bool(rest)
        hint = "As in: dsbridge diff a.yaml b.yaml, or: dsbridge diff a.yaml -- torchrun ... train.py"
        raise InputError([TWO_SIDES(f"diff compares two inputs; {count or 'none'} given", hint=hint)])
    return found[0], found[1]


def _side(word: str, files: Files) -> Side:
    command = not files.has(word) and any(letter.isspace() for letter in word.strip())
    return Side(command=(word,)) if command else Side(word)


def readers(
    pair: tuple[Side, Side],
    files: Files,
    target: str = "",
    facts: Mapping[str, Any] | None = None,
    versions: Mapping[str, str] | None = None,
) -> tuple[Read, Read]:
    """How to explain each side. target: for specs, if one side is a spec; else for both."""
    specs = [bool(side.file) and is_spec(files, side.file) for side in pair]

    def reader(side: Side, spec: bool) -> Read:
        aim = target if spec or not any(specs) else ""

        def read(more: Mapping[str, Any]) -> Explanation:
            given = [side.file] if side.file else []
            told = {**more, **(facts or {})}
            return predict(given, side.command, aim, told, versions, files=files)

        return read

    return reader(pair[0], specs[0]), reader(pair[1], specs[1])
