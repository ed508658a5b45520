"""What ZeRO-3 has gathered: its window of reuse, and what it fetches ahead."""

from __future__ import annotations

from dsbridge.planner.candidate import FULL, NONE, Candidate, Knobs
from dsbridge.planner.gathered import gathered, largest_piece
from tests.planner.jobs import SMALL, job


def test_nothing_is_reused_within_no_distance() -> None:
    knobs = Knobs(reuse=0, prefetch=0)
    found = gathered(job(), Candidate(3, knobs=knobs))
    assert found.turning.bytes == found.working.bytes == 2 * largest_piece(job())


def test_half_a_window_of_parameters_stays_and_a_third_with_checkpointing() -> None:
    """Between its two uses everything behind a parameter runs twice, with checkpointing three times."""
    ways = (gathered(job(), Candidate(3, checkpointing=way)).turning.bytes / 2 for way in (NONE, FULL))
    half, third = ways
    largest = 128_256 * 4096  # the head, which alone is half a window
    assert half == largest + 50_000_000
    assert third == half
    wide = Knobs(reuse=6_000_000_000, prefetch=0)
    none, full = (
        gathered(job(), Candidate(3, checkpointing=way, knobs=wide)).turning.bytes / 2 for way in (NONE, FULL)
    )
    assert 3e9 <= none < 3.2e9
    assert 2e9 <= full < 2.2e9


def test_never_more_than_there_is() -> None:
    found = gathered(job(SMALL), Candidate(3, checkpointing=NONE))
    assert found.turning.bytes <= 2 * 494_032_768


def test_the_limit_of_live_parameters_stops_what_is_fetched_ahead() -> None:
    tight = Knobs(live=0)
    ample, none = (gathered(job(), Candidate(3, knobs=knobs)).working.bytes for knobs in (Knobs(), tight))
    assert ample - none == 2 * 50_000_000
