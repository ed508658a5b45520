"""Bars: as long as what they stand for, cut where they are too long, and told in words."""

from __future__ import annotations

import re

import pytest

from dsbridge.planner.terms import Formula, Moment, Term
from dsbridge.report.bars import LONGEST, Scale, memory_bar, range_bar, round_numbers, scale_of
from dsbridge.report.groups import GROUPS, OTHER, group_of
from dsbridge.report.markup import GIB
from tests.report.pages import plan_of, read

HOW = Formula("how", "where")


def widths(bar: str) -> dict[str, float]:
    return {
        e.attributes["data-group"]: float(e.attributes["width"].rstrip("%"))
        for e in read(bar).every("rect")
        if "data-group" in e.attributes
    }


def moment(*parts: tuple[str, float]) -> Moment:
    return Moment("m", tuple(Term(part, size * GIB, HOW) for part, size in parts))


def test_pieces_are_as_long_as_their_parts_and_share_a_group() -> None:
    held = moment(("parameters", 10), ("gradients", 5), ("gradients in flight", 5), ("logits and loss", 20))
    bar = memory_bar(held, held.most, Scale(80 * GIB, 60 * GIB), "stage 1", "gpu0")
    assert widths(bar) == {"0": 12.5, "1": 12.5, "4": 25.0}
    (svg,) = read(bar).every("svg")
    assert svg.attributes["aria-label"].startswith("stage 1: 40.0 GiB")
    assert "gradients 10.0" in svg.attributes["aria-label"]
    assert 'x1="75.00%"' in bar, "the line of the GPU's memory"


def test_what_is_too_long_is_cut_and_marked() -> None:
    held = moment(("parameters", 100), ("activations", 100))
    bar = memory_bar(held, held.most, Scale(120 * GIB, 80 * GIB), "x", "gpu0")
    assert sum(widths(bar).values()) == pytest.approx(100, abs=0.1)
    assert 'class="cut"' in bar
    assert 'class="cut"' not in memory_bar(held, held.most, Scale(220 * GIB), "x", "gpu0")


def test_a_range_is_a_whisker_and_none_is_none() -> None:
    sure = moment(("parameters", 10))
    scale = Scale(20 * GIB)
    assert "whisker" not in memory_bar(sure, sure.most, scale, "x", "t")
    unsure = Moment("m", (Term("parameters", 10 * GIB, HOW, 8 * GIB, 15 * GIB),))
    bar = memory_bar(unsure, unsure.most, scale, "x", "t")
    assert re.search(r'x1="40\.00%" x2="75\.00%"[^>]*whisker', bar)
    assert 'width="25.00%"' in range_bar(5.0, 10.0, Scale(20.0), "x")


def test_the_scale_holds_the_room_and_is_not_squeezed_by_one_that_is_far_too_large() -> None:
    assert scale_of([10.0, 50.0], 80.0).full > 80
    assert scale_of([10.0, 5000.0], 80.0).full == 80 * LONGEST
    assert scale_of([], None).full > 0


@pytest.mark.parametrize("full", [0.0, 0.3, 7, 79.2, 200, 1500])
def test_ticks_are_round_and_few(full: float) -> None:
    ticks = round_numbers(full)
    assert 1 <= len(ticks) <= 9
    assert all(tick <= full for tick in ticks)
    assert len(ticks) > 2 or full == 0


@pytest.mark.slow
def test_every_part_of_real_plans_has_the_group_that_its_name_says() -> None:
    parts = {
        term.part
        for name in ("full", "two nodes", "window")
        for one in plan_of(name).found.ranked
        for moment_ in (*one.memory.gpu, *one.memory.host, *one.memory.nvme)
        for term in moment_.terms
    }
    told = {part: GROUPS[group_of(part)].name for part in parts}
    assert told["master weights"] == "optimizer states and master weights"
    assert told["a layer at work"] == told["activations"] == "activations"
    assert told["NCCL's buffers"] == GROUPS[-1].name
    assert len(set(told.values())) == len(GROUPS)
    assert len([part for part in parts if group_of(part) == OTHER]) < len(parts) / 2
