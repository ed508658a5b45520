"""Bars as SVG whose lengths are percentages, so that they follow the width of the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from dsbridge.planner.terms import Moment, Term
from dsbridge.report.groups import GROUPS, group_of
from dsbridge.report.markup import GIB, Html, gib, joined, tag

HEIGHT, TOP, THICK = 26, 4, 18
# a bar that is longer is cut: one layout that is far too large must not squeeze all others
LONGEST = 2.5


class Scale(NamedTuple):
    """full: what the whole width stands for; line: where the room ends, None where nobody knows."""

    full: float
    line: float | None = None

    def part(self, value: float) -> str:
        """A length."""
        return f"{100 * min(max(value, 0.0) / self.full, 1.0):.2f}%" if self.full else "0%"


def scale_of(peaks: Iterable[float], room: float | None) -> Scale:
    """Wide enough for all, but no wider than LONGEST times the room."""
    largest = max(peaks, default=0.0) * 1.04
    if room is None:
        return Scale(largest or 1.0)
    return Scale(min(max(largest, room * 1.12), room * LONGEST), room)


def grouped(terms: Iterable[Term]) -> list[tuple[int, list[Term]]]:
    """The terms of each group that holds something, in the order of GROUPS."""
    found: dict[int, list[Term]] = {}
    for term in terms:
        if term.most > 0:
            found.setdefault(group_of(term.part), []).append(term)
    return sorted(found.items())


def memory_bar(moment: Moment, most: float, scale: Scale, label: str, tip: str) -> Html:
    """A stacked bar with the room's line, and a whisker from the lower to the upper bound. tip: the row whose
    parts the page tells on hover and focus."""
    pieces, end = [], 0.0
    for number, terms in grouped(moment.terms):
        size = sum(term.bytes for term in terms)
        pieces.append(segment(scale, end, size, f"g{number}", number))
        end += size
    marks = [line(scale), whisker(scale, moment.least, most), cut(scale, end)]
    held = ", ".join(
        f"{GROUPS[n].name} {gib(sum(term.bytes for term in terms))}" for n, terms in grouped(moment.terms)
    )
    spoken = f"{label}: {gib(moment.total)} GiB, between {gib(moment.least)} and {gib(most)}. {held}"
    return frame(*pieces, *marks, label=spoken, class_="bar stacked", data_tip=tip, tabindex="0")


def segment(scale: Scale, start: float, size: float, class_: str, number: int | None = None) -> Html:
    """A piece of a bar."""
    if start >= scale.full or size <= 0:
        return Html()
    shown = min(size, scale.full - start)
    return tag(
        "rect", x=scale.part(start), width=scale.part(shown), y=TOP, height=THICK, class_=class_,
        data_group=number,
    )  # fmt: skip


def line(scale: Scale) -> Html:
    """Where the room ends."""
    if scale.line is None:
        return Html()
    x = scale.part(scale.line)
    return tag("line", x1=x, x2=x, y1=0, y2=HEIGHT + 4, class_="room")


def whisker(scale: Scale, low: float, high: float) -> Html:
    """From a lower to an upper bound; nothing where both are the same."""
    if high - low <= scale.full / 1000:
        return Html()
    a, b, y = scale.part(low), scale.part(high), TOP + THICK / 2
    ends = [(a, b, y, y), (a, a, y - 4, y + 4), *([(b, b, y - 4, y + 4)] if high < scale.full else [])]
    return joined(
        *(
            tag("line", x1=x1, x2=x2, y1=y1, y2=y2, class_=f"whisker {way}")
            for way in ("halo", "ink")
            for x1, x2, y1, y2 in ends
        )
    )


def cut(scale: Scale, end: float) -> Html:
    """A sign at the end of a bar that is longer than the page."""
    if end <= scale.full:
        return Html()
    middle = TOP + THICK / 2
    tooth = (THICK + 2) / 4
    saw = f"l7 {tooth}l-7 {tooth}l7 {tooth}l-7 {tooth}"
    path = tag("path", d=f"M-14 {TOP - 1}{saw}h20V{TOP - 1}z", class_="cut")
    arrow = tag("path", d=f"M-6 {middle - 5}l6 5l-6 5z", class_="arrow")
    return tag("svg", path, arrow, x="100%", overflow="visible")


def plain_bar(value: float, scale: Scale, label: str, class_: str) -> Html:
    """One number."""
    return frame(segment(scale, 0, value, class_), label=label, class_="bar small")


def range_bar(low: float, high: float, scale: Scale, label: str) -> Html:
    """From low to high; a point that does not move is still seen."""
    size = max(high - low, scale.full / 300)
    return frame(segment(scale, low, size, "time"), label=label, class_="bar small")


def frame(*children: Html, label: str, class_: str, **more: str) -> Html:
    """The picture around a bar, with what it shows in words."""
    return tag("svg", *children, class_=class_, role="img", aria_label=label, **more)


def axis(scale: Scale) -> Html:
    """Round numbers of GiB under the bars."""
    ticks: list[Html] = []
    for value in round_numbers(scale.full / GIB):
        x = scale.part(value * GIB)
        ticks.append(tag("line", x1=x, x2=x, y1=0, y2=5, class_="tick"))
        anchor = "start" if value == 0 else "middle"
        ticks.append(tag("text", f"{value:,g}", x=x, y=18, text_anchor=anchor))
    return tag("svg", *ticks, class_="axis", aria_hidden="true")


def room_label(scale: Scale, text: str) -> Html:
    """What the line of the room is, above the bars."""
    if scale.line is None:
        return Html()
    x = scale.part(scale.line)
    mark = tag("line", x1=x, x2=x, y1=16, y2=22, class_="room")
    return tag(
        "svg", tag("text", text, x=x, y=12, text_anchor="end"), mark, class_="axis", aria_hidden="true"
    )


def round_numbers(full: float, count: int = 8) -> Sequence[float]:
    """0, and steps of 1, 2 or 5 times a power of ten."""
    if full <= 0:
        return (0.0,)
    step = next(
        width * 10.0**power
        for power in range(-4, 9)
        for width in (1, 2, 5)
        if full / (width * 10.0**power) <= count
    )
    return [step * n for n in range(int(full / step * 0.97) + 1)]
