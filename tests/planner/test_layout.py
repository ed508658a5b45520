"""What of a layout depends on DeepSpeed's release."""

from __future__ import annotations

import pytest

from dsbridge.planner import states
from dsbridge.planner.layout import Layout


@pytest.mark.parametrize(
    ("release", "unsharded"), [((0, 17, 5), False), ((0, 18, 4), True), ((0, 18, 5), False)]
)
def test_zero_1_with_fp32_sums_was_not_sharded_for_some_releases(
    release: tuple[int, int, int], unsharded: bool
) -> None:
    wanted = Layout(1, 4, (64,), accumulate="float32", deepspeed=release)
    assert wanted.unsharded is unsharded
    assert wanted.kept_in_full is not unsharded


def test_offload_takes_it_out_of_that_path() -> None:
    assert not Layout(1, 4, (64,), accumulate="float32", offload_optimizer=True).kept_in_full


def test_old_releases_read_past_the_dtype_of_master_weights() -> None:
    low = Layout(2, 2, (8,), master="bfloat16", states="bfloat16", deepspeed=(0, 18, 2))
    assert (low.masters, low.moments) == ("float32", "float32")
    assert states.held(low._replace(deepspeed=(0, 18, 3)))[states.BETWEEN]["master"] == {"bfloat16": 4}
