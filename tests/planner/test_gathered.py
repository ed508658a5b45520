"""What ZeRO-3 has gathered: its window of reuse, and what it fetches ahead."""

from __future__ import annotations

import pytest

from dsbridge.planner.candidate import FULL, NONE, Candidate, Knobs
from dsbridge.planner.gathered import gathered
from tests.planner.jobs import SMALL, job

NORMS = 2 * 4096  # of a layer of Llama 8B: below the threshold, so they are always whole


def test_a_wide_window_of_reuse_keeps_what_is_used_again() -> None:
    """Between its two uses everything behind a parameter runs twice, with checkpointing three times."""
    wide = Knobs(reuse=6_000_000_000, prefetch=0)
    none, full = (
        gathered(job(), Candidate(3, checkpointing=way, knobs=wide)).turning.bytes / 2 for way in (NONE, FULL)
    )
    assert 2.8e9 <= none < 3.4e9
    assert full < none


def test_less_is_kept_within_no_distance() -> None:
    narrow = gathered(job(), Candidate(3, knobs=Knobs(reuse=0, prefetch=0)))
    usual = gathered(job(), Candidate(3))
    assert narrow.turning.bytes < usual.turning.bytes
    assert narrow.last.most < usual.last.most


@pytest.mark.parametrize("way", [NONE, FULL])
def test_the_bounds_are_in_order(way: str) -> None:
    for term in gathered(job(), Candidate(3, checkpointing=way)):
        assert term.least <= term.bytes <= term.most


def test_a_layer_is_whole_when_it_goes_back() -> None:
    for term in gathered(job(), Candidate(3))[1:]:
        assert term.bytes >= 2 * (job().shape.largest_layer - NORMS)


def test_never_more_than_there_is() -> None:
    found = gathered(job(SMALL), Candidate(3, checkpointing=NONE))
    assert found.turning.bytes <= 2 * 494_032_768


def test_the_limit_of_live_parameters_stops_what_is_fetched_ahead() -> None:
    tight = Knobs(live=0)
    ample, none = (gathered(job(), Candidate(3, knobs=knobs)).last for knobs in (Knobs(), tight))
    assert none.bytes < ample.bytes
    assert none.bytes == 2 * (job().shape.largest_layer - NORMS)
