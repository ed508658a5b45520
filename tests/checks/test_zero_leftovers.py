"""Blocks that were left in a config."""

from __future__ import annotations

import pytest

from tests.checks.finding import found

_DS = """{"zero_optimization": {"stage": 2}, "bf16": {"enabled": "auto"}, %s,
 "train_micro_batch_size_per_gpu": "auto"}"""
_ARGS = "train.py --output_dir out --deepspeed ds.json --bf16 true"
_TUNE = '"autotuning": {"enabled": true%s}'


def test_autotuning_ends_a_plain_run() -> None:
    (one,) = found("CK350", {"ds.json": _DS % (_TUNE % "")}, f"deepspeed --num_gpus 2 {_ARGS}")
    assert "6 steps" in one.message
    assert one.fix is not None
    (one,) = found("CK350", {"ds.json": _DS % (_TUNE % ', "end_profile_step": 9')}, f"torchrun {_ARGS}")
    assert "10 steps" in one.message


def test_the_autotuner_itself_wants_the_block() -> None:
    (one,) = found("CK350", {"ds.json": _DS % (_TUNE % "")})
    assert one.severity.value == "info"
    assert not found("CK350", {"ds.json": _DS % '"autotuning": {"enabled": false}'}, f"torchrun {_ARGS}")


def test_a_universal_checkpoint_is_for_resuming() -> None:
    files = {"ds.json": _DS % '"checkpoint": {"load_universal": true}'}
    (one,) = found("CK360", files, f"torchrun {_ARGS}")
    assert "does nothing" in one.message
    (one,) = found("CK360", files, f"torchrun {_ARGS} --resume_from_checkpoint out/checkpoint-8")
    assert "latest_universal" in one.message
    assert not found("CK360", {"ds.json": _DS % '"checkpoint": {"tag_validation": "Warn"}'})


@pytest.mark.parametrize(
    ("version", "size", "fires"),
    [
        ("0.16.2", 2, False),
        ("0.16.4", 2, True),
        ("0.18.8", 2, True),
        ("0.18.9", 2, False),
        ("0.18.4", 1, False),
    ],
)
def test_checkpoints_of_autotp(version: str, size: int, fires: bool) -> None:
    ds = (
        '{"zero_optimization": {"stage": 1}, "tensor_parallel": {"autotp_size": %d}, '
        '"checkpoint": {"load_universal": true}, "train_micro_batch_size_per_gpu": 1}'
    )
    assert bool(found("CK361", {"ds.json": ds % size}, versions={"deepspeed": version})) is fires
