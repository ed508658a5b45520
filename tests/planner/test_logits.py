"""The loss: by release, by kind, and by what tensor parallelism makes of it."""

from __future__ import annotations

import pytest

from dsbridge.planner import liger
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


def test_ligers_loss_takes_a_chunk_at_a_time() -> None:
    """32 times more entries than elements: 8192 tokens in chunks of 256."""
    found = logits(job(loss=FUSED_LOSS), 8192, 1)
    head, states, chunk = 2 * 128_256 * 4096, 2 * 8192 * 4096, 2 * 256 * 128_256
    assert found.bytes == found.least == 2 * states + head + chunk
    assert found.most == 2 * states + head + max(4 * chunk, chunk + 3 * head)


@pytest.mark.parametrize(("tokens", "wanted"), [(8192, 256), (8193, 512), (20, 1), (1, 1)])
def test_a_chunk_is_a_power_of_two(tokens: int, wanted: int) -> None:
    assert liger.chunk(tokens, 128_256, 4096) == wanted


def test_a_model_that_liger_does_not_know_keeps_its_loss() -> None:
    assert liger.replaced("internlm3") == liger.NOTHING
    assert liger.replaced("granite").norms
    assert not liger.replaced("granite").loss
    other = job(model="internlm/internlm3-8b-instruct", loss=FUSED_LOSS)
    assert logits(other, 100, 1).bytes == 12 * 100 * other.shape.vocab


def test_who_lets_go_of_the_logits_takes_the_less() -> None:
    low, high = (logits(job(logits_held=held), 100, 1) for held in (False, True))
    assert low.bytes == low.least == low.most == 12 * ENTRIES
    assert high.bytes == high.least == high.most == 14 * ENTRIES
