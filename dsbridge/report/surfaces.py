"""Memory over all micro batches and sequences, for every kind of layout; what kinds share is said once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from dsbridge.planner.terms import Formula, Memory, Moment, Term
from dsbridge.report.fitting import Fit, Point, fitted

T = TypeVar("T")
PLACES = ("gpu", "host", "nvme")


class Pool(Generic[T]):
    """Values by number, each once."""

    def __init__(self) -> None:
        self.items: list[T] = []
        self._numbers: dict[T, int] = {}

    def number(self, item: T) -> int:
        """The number of a value."""
        if item not in self._numbers:
            self._numbers[item] = len(self.items)
            self.items.append(item)
        return self._numbers[item]


class Row(NamedTuple):
    """A part at all points. fits: of best guess, lower and upper bound; None where there is none."""

    part: str
    formula: Formula
    fits: tuple[Fit | None, Fit | None, Fit | None]


class Surfaces:
    """term: part, formula, and the coefficients of best guess, lower and upper bound, all by number."""

    def __init__(self) -> None:
        self.formulas: Pool[Formula] = Pool()
        self.parts: Pool[str] = Pool()
        self.fits: Pool[Fit] = Pool()
        self.terms: Pool[tuple[int, int, int, int, int]] = Pool()
        self.moments: Pool[tuple[str, tuple[int, ...]]] = Pool()
        self.places: Pool[tuple[int, ...]] = Pool()
        self.kinds: dict[str, list[int]] = {}

    def add(self, key: str, points: tuple[Point, ...], at_points: Sequence[Memory]) -> bool:
        """A kind of layout, by its memory at every point. False where coefficients do not give that."""
        found = [
            [
                _moment(name, points, moments)
                for name, moments in _named([getattr(m, place) for m in at_points])
            ]
            for place in PLACES
        ]
        if any(None in row.fits for place in found for _, rows in place for row in rows):
            return False
        self.kinds[key] = [
            self.places.number(
                tuple(self.moments.number((name, tuple(map(self._term, rows)))) for name, rows in place)
            )
            for place in found
        ]
        return True

    def to_json(self) -> dict[str, Any]:
        """As the page reads it."""
        return {
            "formulas": self.formulas.items,
            "parts": self.parts.items,
            "fits": [fit[0] if len(fit) == 1 else fit for fit in self.fits.items],
            "terms": self.terms.items,
            "moments": self.moments.items,
            "places": self.places.items,
            "kinds": self.kinds,
        }

    def _term(self, row: Row) -> int:
        best, least, most = (self.fits.number(fit) for fit in row.fits if fit)
        return self.terms.number(
            (self.parts.number(row.part), self.formulas.number(row.formula), best, least, most)
        )


def _named(at_points: list[tuple[Moment, ...]]) -> Iterator[tuple[str, list[Moment]]]:
    """Each moment at every point; an empty one where a point lacks it."""
    for name in dict.fromkeys(moment.name for moments in at_points for moment in moments):
        yield name, [next((m for m in one if m.name == name), Moment(name, ())) for one in at_points]


def _moment(name: str, points: tuple[Point, ...], moments: list[Moment]) -> tuple[str, list[Row]]:
    """Its parts; several of one name are told apart by their order."""
    found: dict[tuple[str, int], list[Term | None]] = {}
    for at, moment in enumerate(moments):
        seen: dict[str, int] = {}
        for term in moment.terms:
            seen[term.part] = seen.get(term.part, 0) + 1
            found.setdefault((term.part, seen[term.part]), [None] * len(moments))[at] = term
    return name, [_row(part, points, terms) for (part, _), terms in found.items()]


def _row(part: str, points: tuple[Point, ...], terms: list[Term | None]) -> Row:
    values = [[(t.bytes, t.least, t.most)[i] if t else 0.0 for t in terms] for i in range(3)]
    best, least, most = (fitted(points, tuple(map(float, own))) for own in values)
    formula = next(term.formula for term in terms if term)
    return Row(part, formula, (best, least, most))
