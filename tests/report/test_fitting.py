"""Coefficients are found where there are some, and never where there are none."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dsbridge.report.fitting import Point, few, fitted, many, meets, terms_at

STRETCHES = [(0, None), (0, 4096), (4096, None), (0, 128)]


def values(function: Callable[[int, int], float], points: tuple[Point, ...]) -> tuple[float, ...]:
    return tuple(float(function(m, s)) for m, s in points)


@pytest.mark.parametrize("stretch", STRETCHES)
@pytest.mark.parametrize(
    ("function", "count"),
    [
        (lambda m, s: 7.5e9, 1),
        (lambda m, s: 3e9 + 123456.75 * m * s, 2),
        (lambda m, s: 1e8 + 900 * m * s + 64 * s, 4),
        (lambda m, s: 2e5 * m * s + 28 * 2 * m * s * s, 5),
        (lambda m, s: 0, 1),
    ],
    ids=["constant", "tokens", "a table of angles", "scores", "nothing"],
)
def test_polynomials_are_found_with_no_more_than_they_need(
    stretch: tuple[int, int | None], function: Callable[[int, int], float], count: int
) -> None:
    (found,) = fitted(few(*stretch), values(function, few(*stretch))) or ()
    assert len(found) == count
    m, s = 5, 777
    told = sum(c * b for c, b in zip(found, terms_at((m, s)), strict=False))
    assert told == pytest.approx(function(m, s), rel=1e-7)


def test_the_larger_of_two_is_told_by_both() -> None:
    def bent(m: int, s: int) -> float:
        return max(3e5 * m * s, 1e5 * m * s + 40 * m * s * s) + 1e9

    assert fitted(few(0, None), values(bent, few(0, None))) is None
    points = many(0, None)
    found = fitted(points, values(bent, points))
    assert found is not None
    assert len(found) == 2
    assert meets(found, ((1, 9 * 5001, 9, 5001, 9 * 5001**2),), (bent(9, 5001),), 1024)


def test_what_follows_no_such_rule_has_no_coefficients() -> None:
    for points in (few(0, None), many(0, None)):
        assert fitted(points, values(lambda m, s: 1e6 * s**1.5, points)) is None
        assert fitted(points, values(lambda m, s: 1e9 * (s % 3), points)) is None


@pytest.mark.parametrize("stretch", STRETCHES)
def test_points_lie_in_their_stretch(stretch: tuple[int, int | None]) -> None:
    low, high = stretch
    for m, s in (*few(*stretch), *many(*stretch)):
        assert m >= 1
        assert low < s <= (high or s)
