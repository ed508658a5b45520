"""The loss: by release, by kind, and by what tensor parallelism makes of it."""

from __future__ import annotations

from dsbridge.planner.job import FUSED_LOSS
from dsbridge.planner.logits import logits
from tests.planner.jobs import job

ENTRIES = 100 * 128_256


def test_twelve_bytes_an_entry_and_fourteen_before_4_49() -> None:
    assert logits(job(), 100, 1).bytes == 12 * ENTRIES
    assert logits(job(transformers="4.48.3"), 100, 1).bytes == 14 * ENTRIES


def test_a_head_of_its_own_is_gathered_beside_its_part() -> None:
    assert logits(job(), 100, 4).bytes == 12 * ENTRIES + 2 * ENTRIES / 4


def test_releases_that_leave_the_head_whole_gather_nothing() -> None:
    assert logits(job(deepspeed=(0, 18, 4)), 100, 4).bytes == 12 * ENTRIES


def test_a_fused_loss_does_not_grow_with_the_vocabulary_and_the_tokens() -> None:
    once, twice = (logits(job(loss=FUSED_LOSS), tokens, 1).bytes for tokens in (100, 200))
    assert twice - once == 6 * 100 * 4096
