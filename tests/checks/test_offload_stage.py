"""Offload that the stage does not do."""

from __future__ import annotations

import pytest

from tests.checks.finding import found

_YAML = """distributed_type: DEEPSPEED
num_processes: 2
mixed_precision: bf16
deepspeed_config:
  zero_stage: %d
  offload_param_device: %s
  offload_optimizer_device: %s
"""


def _ds(stage: int, block: str) -> dict[str, str]:
    text = f'{{"zero_optimization": {{"stage": {stage}, {block}}}, "train_micro_batch_size_per_gpu": 1}}'
    return {"ds.json": text}


@pytest.mark.parametrize("stage", [0, 1, 2])
@pytest.mark.parametrize("version", ["0.16.2", "0.16.9", "0.18.4", "0.19.8"])
def test_parameters_stay_below_stage_3(stage: int, version: str) -> None:
    files = _ds(stage, '"offload_param": {"device": "cpu"}')
    (one,) = found("CK301", files, versions={"deepspeed": version})
    assert one.key == "zero_optimization.offload_param"
    assert one.severity.value == "warning"
    assert one.fix is not None
    assert one.fix.edits[0].path == ("zero_optimization", "offload_param")


@pytest.mark.parametrize(
    ("stage", "block"),
    [
        (3, '"offload_param": {"device": "cpu"}'),
        (2, '"offload_param": {"device": "none"}'),
        (1, '"offload_optimizer": {"device": "cpu"}'),
        (2, '"overlap_comm": true'),
    ],
    ids=["stage 3 does", "none is off", "ZeRO-1 offloads its optimizer", "no block"],
)
def test_what_the_stage_does_is_not_told(stage: int, block: str) -> None:
    assert not found("CK301", _ds(stage, block))


def test_without_zero_no_optimizer_is_offloaded() -> None:
    (one,) = found("CK301", _ds(0, '"offload_optimizer": {"device": "cpu"}'))
    assert "stages 1 to 3" in one.message


def test_accelerates_own_fields_are_named_as_they_stand() -> None:
    (one,) = found("CK301", {"a.yaml": _YAML % (2, "cpu", "none")})
    assert (one.key, one.file, one.line) == ("deepspeed_config.offload_param_device", "a.yaml", 6)
    assert one.fix is None
    assert not found("CK301", {"a.yaml": _YAML % (3, "cpu", "cpu")})


def test_nvme_at_stage_2_is_the_host() -> None:
    block = '"offload_optimizer": {"device": "nvme", "nvme_path": "/nvme"}'
    (one,) = found("CK303", _ds(2, block))
    assert one.key == "zero_optimization.offload_optimizer.device"
    assert not found("CK303", _ds(3, block))
    assert not found("CK303", _ds(2, '"offload_optimizer": {"device": "cpu"}'))
