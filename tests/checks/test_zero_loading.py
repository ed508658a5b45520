"""How a model is loaded under ZeRO."""

from __future__ import annotations

import pytest

from dsbridge.checks.zero_loading import CHECKS
from tests.checks.finding import found

_YAML = """distributed_type: DEEPSPEED
num_processes: 2
deepspeed_config:
  zero_stage: %d
  zero3_init_flag: %s
"""


@pytest.mark.parametrize(
    ("stage", "flag", "told"), [(2, "true", 1), (0, "true", 1), (3, "true", 0), (2, "false", 0)]
)
def test_zero_init_is_for_stage_3(stage: int, flag: str, told: int) -> None:
    assert len(found("CK302", {"a.yaml": _YAML % (stage, flag)})) == told


def test_only_four_bits_load_whole() -> None:
    example = CHECKS[1].fires
    assert found("CK335", example.files, example.command)
    plain = {**example.files, "a.yaml": example.files["a.yaml"].replace("quantization_bit: 4\n", "")}
    assert not found("CK335", plain, example.command)
