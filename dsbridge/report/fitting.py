"""Bytes as a function of micro batch and sequence length: coefficients that a page can recompute from."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

# what the coefficients stand before, of a micro batch m and a sequence of s tokens, in this order
BASIS = ("1", "m s", "m", "s", "m s s")
Point = tuple[int, int]
Coefficients = tuple[float, ...]
# the largest of what each gives: a layer that goes back needs most at one of its operators or at another
Fit = tuple[Coefficients, ...]
EXACT, SMALL = 1e-8, 1024
ENDLESS = 131072


def few(low: int, high: int | None) -> tuple[Point, ...]:
    """Where to ask, above one length of a sequence up to another, of what one list of coefficients gives."""
    a, b, c, d = _between(low, high, (1, 8, 24, 64))
    return (1, a), (2, a), (1, b), (3, b), (1, d), (4, c), (1, low + 1)


def many(low: int, high: int | None) -> tuple[Point, ...]:
    """The same, of what several give: those near the ends, and in the middle."""
    places = ((1, 10, 18), (30, 32, 34), (47, 55, 64))
    found: list[Point] = []
    for a, b, c in (_between(low, high, place) for place in places):
        found += [(1, a), (2, a), (1, b), (3, b), (1, c)]
    return *found, *zip((4, 1, 2, 1), _between(low, high, (5, 24, 40, 60)), strict=True), (1, low + 1)


def _between(low: int, high: int | None, places: Sequence[int]) -> list[int]:
    """Lengths at so many 64ths of the way; without an end mostly near the beginning, where bends are."""
    if high is None:
        return [low + round(64 * (ENDLESS / 64) ** ((place - 1) / 63)) for place in places]
    return [low + max(1, (high - low) * place // 64) for place in places]


def terms_at(point: Point) -> tuple[int, ...]:
    """The basis at a point."""
    m, s = point
    return (1, m * s, m, s, m * s * s)


@lru_cache(maxsize=65536)
def fitted(at_points: tuple[Point, ...], values: tuple[float, ...]) -> Fit | None:
    """What gives these values at these points, with as little as does; None where nothing does."""
    whole = len(BASIS)
    for count, picked in ((1, (0,)), (2, (0, 4)), (whole, range(whole))):
        found = _solved(at_points, values, picked, count)
        if found and _meets((found,), at_points, values):
            return (found,)
    if len(at_points) <= 3 * whole:
        return None
    places = (range(start, start + whole) for start in (0, whole, 2 * whole))
    pieces = [one for picked in places if (one := _solved(at_points, values, picked, whole))]
    choices: tuple[Fit, ...] = ((pieces[0], pieces[-1]), tuple(pieces)) if len(pieces) == 3 else ()
    return next((fit for fit in choices if _meets(fit, at_points, values)), None)


def at(fit: Fit, point: Point) -> float:
    """The value there."""
    return max(sum(c * b for c, b in zip(one, terms_at(point), strict=False)) for one in fit)


def _meets(fit: Fit, at_points: Sequence[Point], values: Sequence[float]) -> bool:
    return all(
        abs(at(fit, point) - value) <= EXACT * abs(value) + SMALL
        for point, value in zip(at_points, values, strict=True)
    )


def _solved(
    at_points: Sequence[Point], values: Sequence[float], picked: Sequence[int], count: int
) -> Coefficients | None:
    """The first coefficients, from some of the points, in exact fractions; None where they say too little."""
    system = [[*map(Fraction, terms_at(at_points[i])[:count]), Fraction(values[i])] for i in picked]
    for column in range(count):
        pivot = next((r for r in range(column, count) if system[r][column]), None)
        if pivot is None:
            return None
        system[column], system[pivot] = system[pivot], system[column]
        head = [cell / system[column][column] for cell in system[column]]
        system[column] = head
        for r in range(count):
            if r != column and system[r][column]:
                system[r] = [a - system[r][column] * b for a, b in zip(system[r], head, strict=True)]
    return _trimmed([float(f"{float(row[-1]):.13g}") for row in system])


def _trimmed(coefficients: list[float]) -> Coefficients:
    """Without what floating point left over, nor zeros at the end; whole numbers as such."""
    while len(coefficients) > 1 and abs(coefficients[-1]) < 1e-7:
        coefficients.pop()
    kept = (0 if abs(c) < 1e-7 else c for c in coefficients)
    return tuple(int(c) if c == int(c) else c for c in kept)
