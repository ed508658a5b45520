"""Keys that the stage does not read."""

from __future__ import annotations

import pytest

from tests.checks.finding import found


def _ds(stage: int, more: str) -> dict[str, str]:
    return {"ds.json": f'{{"zero_optimization": {{"stage": {stage}, {more}}}, "train_batch_size": 2}}'}


@pytest.mark.parametrize("version", ["0.16.2", "0.16.9", "0.18.4", "0.19.8"])
@pytest.mark.parametrize(
    ("stage", "more"),
    [
        (2, '"stage3_max_live_parameters": 5e8'),
        (2, '"max_live_parameters": 5e8'),
        (1, '"sub_group_size": 1e8'),
        (2, '"stage3_gather_16bit_weights_on_model_save": true'),
        (3, '"round_robin_gradients": true'),
        (3, '"allgather_bucket_size": 2e8'),
        (0, '"reduce_bucket_size": 2e8'),
    ],
)
def test_another_stages_key_is_told(stage: int, more: str, version: str) -> None:
    (one,) = found("CK300", _ds(stage, more), versions={"deepspeed": version})
    assert one.severity.value == "info"
    assert one.fix is not None


@pytest.mark.parametrize(
    ("stage", "more"),
    [
        (3, '"stage3_max_live_parameters": 5e8, "sub_group_size": 1e8, "contiguous_gradients": false'),
        (2, '"round_robin_gradients": true, "allgather_bucket_size": 2e8, "reduce_scatter": false'),
        (2, '"stage3_max_live_parameters": 1000000000, "allgather_partitions": false'),
        (2, '"stage3_prefetch_bucket_size": "auto"'),
        (0, '"overlap_comm": false'),
        (2, '"offload_param": {"device": "none"}'),
    ],
    ids=["stage 3 reads", "stage 2 reads", "a default; read nowhere", "nobody's value", "off", "a block"],
)
def test_what_is_read_or_says_nothing_is_not_told(stage: int, more: str) -> None:
    assert not found("CK300", _ds(stage, more))


def test_several_are_one_finding_and_one_fix() -> None:
    (one,) = found("CK300", _ds(2, '"stage3_max_live_parameters": 5e8, "sub_group_size": 1e8'))
    assert one.fix is not None
    assert [edit.path[-1] for edit in one.fix.edits] == ["stage3_max_live_parameters", "sub_group_size"]
