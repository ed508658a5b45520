"""Our memory beside what others measured: the page says so, and nothing is judged by what set it."""

from __future__ import annotations

from statistics import median

import pytest

from dsbridge.planner import allowance
from tests.conftest import ROOT
from tools import accuracy, published

PAGE = ROOT / "docs" / "reference" / "accuracy.md"


def test_every_row_is_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for row in published.rows():
        assert f"| {row.id} |" in text
    for source in published.published()["sources"].values():
        assert source["url"] in text


@pytest.mark.slow
def test_the_bars_are_over_rows_that_set_nothing() -> None:
    assert accuracy.bar_rows()
    for one in accuracy.bar_rows():
        assert one.row.full
        assert one.row.series not in allowance.SET_BY
        assert not one.row.may_set


def test_constants_are_set_by_all_full_rows_that_may_and_no_others() -> None:
    full = {row.series for row in published.rows() if row.full and row.may_set}
    assert set(allowance.SET_BY) == full


def test_the_share_of_fragmentation_is_what_those_rows_say() -> None:
    assert round(median(accuracy.shares()), 2) == allowance.SHARE
    widths = [one.width for one in accuracy.judged() if one.row.full and one.row.may_set]
    assert median(widths) <= accuracy.WIDTH


def test_a_miss_of_a_full_row_is_explained() -> None:
    assert accuracy.unexplained() == []


def test_an_instrument_that_sees_less_is_told_less() -> None:
    row = next(row for row in published.rows() if row.quantity == published.ALLOCATED)
    sizes = [
        accuracy.judge(row._replace(quantity=quantity)).guess
        for quantity in (published.ALLOCATED, published.RESERVED, published.DEVICE)
    ]
    assert sizes == sorted(set(sizes))


def test_a_range_is_around_its_guess() -> None:
    wrong = [one.row.id for one in accuracy.judged() if not 0 < one.least <= one.guess <= one.most]
    assert wrong == []
