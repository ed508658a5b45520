"""What a check is: a code, a function that only looks, and two examples that hold it to its word."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from dsbridge.diagnostics import Code, Diagnostic
from dsbridge.rules import NOTHING, Evidence
from dsbridge.subjects.subject import Subject


class Example(NamedTuple):
    """An input by its texts: files by name, or a launch command that may name them.

    target, facts, versions: as on the command line.
    """

    files: Mapping[str, str] = NOTHING
    command: str = ""
    target: str = ""
    facts: Mapping[str, Any] = NOTHING
    versions: Mapping[str, str] = NOTHING


class Check(NamedTuple):
    """One kind of mistake.

    code: its `title` says what is wrong in one sentence. run: looks at a subject and reports; it changes
    nothing, and never raises. why: what happens to the user who does nothing. hint: what to do, in general.
    fires, holds: an input that has the mistake, and the nearest one that has not. evidence: where the real
    packages do it, unless the finding comes from a rule or a harvested table, which have their own.
    pains: the numbers in docs/reference/pains.md that it catches. explains: rules whose refusals are not told
    beside what this check found, because it says the same and more.
    """

    code: Code
    run: Callable[[Subject], Iterable[Diagnostic]]
    why: str
    hint: str
    fires: Example
    holds: Example
    evidence: tuple[Evidence, ...] = ()
    pains: tuple[int, ...] = ()
    explains: tuple[str, ...] = ()


def in_deepspeed(file: str, lines: str, quote: str) -> Evidence:
    """Where the newest DeepSpeed that is looked at does it; told by its source alone."""
    return Evidence("deepspeed", "0.19.8", file, lines, quote, "")
