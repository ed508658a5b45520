"""Bytes as a function of micro batch and sequence length: coefficients that a page can recompute from."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from operator import mul

# what the coefficients stand before, of a micro batch m and a sequence of s tokens, in this order
BASIS = ("1", "m s", "m", "s", "m s s")
Point = tuple[int, int]
Coefficients = tuple[float, ...]
Indices = tuple[int, ...]
Rows = tuple[tuple[int, ...], ...]  # the basis at each point
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
    rows, whole = tuple(map(terms_at, at_points)), tuple(range(len(BASIS)))
    for columns, picked in (((0,), (0,)), ((0, 1), (0, 4)), (whole, whole)):
        found = solved(rows, values, picked, columns)
        if found and meets((found,), rows, values, SMALL):
            return (found,)
    size = len(BASIS)
    if len(at_points) <= 3 * size:
        return None
    places = (tuple(range(start, start + size)) for start in (0, size, 2 * size))
    pieces = [one for picked in places if (one := solved(rows, values, picked, whole))]
    choices: tuple[Fit, ...] = ((pieces[0], pieces[-1]), tuple(pieces)) if len(pieces) == 3 else ()
    return next((fit for fit in choices if meets(fit, rows, values, SMALL)), None)


def meets(fit: Fit, rows: Rows, values: Sequence[float], small: float) -> bool:
    """Whether a fit gives the values."""
    found = (max(sum(map(mul, one, row)) for one in fit) for row in rows)
    return all(
        abs(told - value) <= EXACT * abs(value) + small for told, value in zip(found, values, strict=True)
    )


def solved(rows: Rows, values: Sequence[float], picked: Indices, columns: Indices) -> Coefficients | None:
    """The coefficients of some columns, from as many points; the others are 0. None where these say too
    little."""
    inverse = _inverse(rows, picked, columns)
    if inverse is None:
        return None
    largest, asked = max(map(abs, values)), [Fraction(values[i]) for i in picked]
    whole = [0.0] * len(rows[0])
    for column, weights in zip(columns, inverse, strict=True):
        found = float(sum(map(mul, weights, asked)))
        # below this it is what floating point left over
        noise = 1e-12 * largest / max(row[column] for row in rows)
        whole[column] = found if abs(found) > noise else 0.0
    return _trimmed(whole)


@lru_cache(maxsize=1024)
def _inverse(rows: Rows, picked: Indices, columns: Indices) -> list[list[Fraction]] | None:
    """Of a few rows and columns, exactly; None where they have none."""
    size = len(columns)
    system = [
        [*(Fraction(rows[i][column]) for column in columns), *(Fraction(i == j) for j in picked)]
        for i in picked
    ]
    for column in range(size):
        pivot = next((r for r in range(column, size) if system[r][column]), None)
        if pivot is None:
            return None
        system[column], system[pivot] = system[pivot], system[column]
        head = [cell / system[column][column] for cell in system[column]]
        system[column] = head
        for r in range(size):
            if r != column and system[r][column]:
                system[r] = [a - system[r][column] * b for a, b in zip(system[r], head, strict=True)]
    return [row[size:] for row in system]


def _trimmed(coefficients: list[float]) -> Coefficients:
    """Without zeros at the end, and whole numbers as such."""
    while len(coefficients) > 1 and not coefficients[-1]:
        coefficients.pop()
    return tuple(int(c) if c == int(c) else float(f"{c:.13g}") for c in coefficients)
