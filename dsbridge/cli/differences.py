"""Differences in words: a table for each class, those that change the result first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dsbridge.cli.story import paint, show
from dsbridge.deepspeed.meanings import NOTHING, RESOURCES, RESULT
from dsbridge.differing import Diff, Difference
from dsbridge.sides import Side

TITLES = {
    RESULT: "result: something else is trained",
    RESOURCES: "resources: the same, in other time or memory",
    NOTHING: "nothing: training does not notice",
}
COLOURS = {RESULT: "red", RESOURCES: "yellow"}
ENDS = {RESULT: "the result", RESOURCES: "speed or memory"}


def lines(found: Diff, pair: tuple[Side, Side]) -> list[str]:
    """Both sides, their differences, and the verdict."""
    told = []
    for name, side, seen in zip("AB", pair, (found.a, found.b), strict=True):
        ranks = seen.facts.get("world_size") or "an unknown number of"
        told.append(f"{name}: {side} ({seen.input.framework.title}, {ranks} ranks)")
    for kind, title in TITLES.items():
        group = [entry for entry in found.differences if entry.meaning.kind == kind]
        if group:
            told += ["", paint(title, COLOURS.get(kind)), *_rows(group)]
    return [*told, "", _verdict(found)]


def _rows(group: Sequence[Difference]) -> Iterable[str]:
    cells = [(entry.path, show(entry.a), show(entry.b), entry.meaning.reason) for entry in group]
    head = ("", "A", "B", "")
    widths = [max(len(row[i]) for row in (head, *cells)) for i in range(3)]
    for row in (head, *cells):
        padded = [cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)]
        yield ("  " + "  ".join(padded)).rstrip()


def _verdict(found: Diff) -> str:
    if found.a.error and found.equal:
        return "equal: both stop before training"
    if found.equal:
        return "equal" + (" but for what training does not notice" if found.differences else "")
    kinds = [entry.meaning.kind for entry in found.differences]
    parts = [f"{kinds.count(kind)} in {words}" for kind, words in ENDS.items() if kind in kinds]
    return f"different: {' and '.join(parts)}"
