"""The layouts that the page shows: the user's own, then the best of each kind."""

from __future__ import annotations

from typing import Any, NamedTuple

from dsbridge.planner.candidate import Candidate, name_of
from dsbridge.planner.search import FITS, TIGHT, Weighed, distinct
from dsbridge.planner.terms import Formula, Moment
from dsbridge.planning.telling import Plan, largest
from dsbridge.report.bars import grouped
from dsbridge.report.markup import Html, gib, tag
from dsbridge.report.surfaces import PLACES, Pool

OPEN = 10  # more of them are folded away


class Row(NamedTuple):
    """A layout. mark: "yours", or its place among the best of each kind."""

    number: int
    mark: str
    one: Weighed

    @property
    def name(self) -> str:
        """How it shards."""
        return name_of(self.one.candidate)

    @property
    def batch(self) -> str:
        """How it cuts the batch."""
        return batch_of(self.one.candidate)

    @property
    def most(self) -> float:
        """The upper bound of all moments on a GPU."""
        return max(moment.most for moment in self.one.memory.gpu)

    def moment(self, place: str) -> Moment:
        """The one that needs most of a place."""
        return largest(getattr(self.one.memory, place))

    def most_of(self, place: str) -> float:
        """The upper bound of a place."""
        return max((moment.most for moment in getattr(self.one.memory, place)), default=0.0)


def rows(plan: Plan) -> list[Row]:
    """The user's own first."""
    found: list[Row] = []
    if plan.given:
        found.append(Row(0, "yours", plan.given))
    same = plan.given.candidate if plan.given else None
    others = (one for one in distinct(plan.found.ranked) if one.candidate != same)
    for place, one in enumerate(others, 1):
        found.append(Row(len(found), str(place), one))
    return found


def batch_of(c: Candidate) -> str:
    """Micro batch, accumulation and checkpointing in words."""
    steps = f", {c.accumulation} times a step" if c.accumulation > 1 else ""
    how = ("no checkpointing", "checkpointing")[min(c.spacing, 1)]
    if c.spacing > 1:
        how += f" of one layer in {c.spacing}"
    return f"micro batch {c.micro}{steps}, {how}"


def verdict_of(one: Weighed) -> str:
    """As the terminal tells it."""
    return one.verdict if one.verdict in (FITS, TIGHT) else f"too large by {gib(one.lacking)} GiB"


def chip(one: Weighed) -> Html:
    """The verdict, told by a sign, a word and a colour."""
    return tag("span", verdict_of(one), class_=f"chip {one.verdict.replace(' ', '-')}")


def tips(found: list[Row], formulas: Pool[Formula]) -> dict[str, Any]:
    """What hover and focus tell of each bar: its parts by group, formulas by number."""
    told: dict[str, Any] = {}
    for row in found:
        for place in PLACES:
            moment = row.moment(place)
            if not moment.terms:
                continue
            told[f"{place}{row.number}"] = {
                "name": f"{row.name}, {moment.name}",
                "groups": {
                    number: [
                        [t.part, round(t.bytes), round(t.least), round(t.most), formulas.number(t.formula)]
                        for t in terms
                    ]
                    for number, terms in grouped(moment.terms)
                },
            }
    return told
