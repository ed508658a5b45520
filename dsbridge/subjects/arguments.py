"""What a framework makes of each name in its files and on its command line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from dsbridge.closeness import closest, same
from dsbridge.framework import Framework
from dsbridge.rules import numbers
from dsbridge.subjects.subject import Subject
from dsbridge.vocabulary import REFUSED, Argument, Vocabulary, Written

# how much alike two names must be for one to be a slip for the other, and the shortest that can be one
CLOSE, SHORTEST = 0.86, 5


class ArgumentFinding(NamedTuple):
    """One name that is not taken as it stands.

    kind: unknown, misspelt, misplaced, removed, not-yet or deprecated. refused: the framework stops at it.
    instead: the name to write. row: what is known of it, where some version takes it. under: what would
    make this version take it.
    """

    framework: Framework
    written: Written
    kind: str
    refused: bool
    instead: str = ""
    row: Argument | None = None
    under: str = ""


def argument_findings(subject: Subject) -> Iterator[ArgumentFinding]:
    """Of all frameworks that read a part of the input."""
    given = subject.input
    if given is None:
        return
    reading = given.reading
    for framework in subject.known.frameworks.values():
        if framework.written is None or framework.vocabulary is None:
            continue
        known: dict[str, Vocabulary | None] = {}
        for written in framework.written(given.setup, reading):
            if written.surface not in known:
                known[written.surface] = framework.vocabulary(subject.versions, written.surface)
            words = known[written.surface]
            if words is not None:
                yield from _judged(framework, written, words, subject.versions)


def _judged(
    framework: Framework, written: Written, words: Vocabulary, versions: Mapping[str, str]
) -> Iterator[ArgumentFinding]:
    name, block = written.name, written.block
    row = words.find(name, block)
    if row is not None:
        if row.deprecated:
            yield ArgumentFinding(framework, written, "deprecated", False, row.instead, row)
        return
    refused = words.unknown.get(block, REFUSED) == REFUSED
    if block and not refused and _of_another_flag(framework, name, versions):
        return
    gone = words.other(name, block)
    if gone is not None:
        have = versions.get(gone.package)
        kind = "not-yet" if have and gone.since and numbers(gone.since) > numbers(have) else "removed"
        yield ArgumentFinding(framework, written, kind, refused, gone.instead, gone)
        return
    if written.surface == "flags" and _abbreviated(name, words):
        return
    if not block and name in words.under:
        yield ArgumentFinding(framework, written, "unknown", refused, under=words.under[name])
        return
    places = [place for place in words.blocks_of(name) if place != block]
    if places:
        dotted = f"{places[0]}.{name}" if places[0] else name
        yield ArgumentFinding(framework, written, "misplaced", refused, dotted, words.find(name, places[0]))
        return
    close = near(name, [own for where, own in words.arguments if where == block])
    meant = words.meant.get(name, "")
    instead = close if close and not meant else meant
    kind = "misspelt" if close and not meant else "unknown"
    yield ArgumentFinding(
        framework, written, kind, refused, instead if (block, instead) in words.arguments else ""
    )


def _of_another_flag(framework: Framework, name: str, versions: Mapping[str, str]) -> bool:
    """Accelerate sets every key of a block among the launcher's arguments, whichever they belong to."""
    flags = framework.vocabulary(versions, "flags") if framework.vocabulary else None
    return flags is not None and any(row.owner == name for row in flags.arguments.values())


def _abbreviated(name: str, words: Vocabulary) -> bool:
    """argparse takes the beginning of a flag, dashes for underscores, and `no_` before a switch."""
    plain = name.replace("-", "_")
    own = [known.replace("-", "_") for _, known in words.arguments]
    return any(known.startswith(plain) for known in own) or plain.removeprefix("no_") in own


def near(name: str, known: list[str]) -> str:
    """The name that it is a slip of the pen for; "" for none."""
    if len(name.strip("-")) < SHORTEST:
        return ""
    return same(name, known) or closest(name, known, CLOSE)
