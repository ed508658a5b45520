"""Sharding blocks that an Accelerate file does not use."""

from __future__ import annotations

import pytest

from tests.checks.finding import found

_FILE = """distributed_type: %s
num_processes: 2
deepspeed_config: %s
fsdp_config: %s
"""
_ZERO = "{zero_stage: 2}"
_FSDP = "{fsdp_version: 2}"


@pytest.mark.parametrize(
    ("kind", "zero", "fsdp", "keys"),
    [
        ("MULTI_GPU", _ZERO, "{}", ["deepspeed_config"]),
        ("MULTI_GPU", "{}", _FSDP, ["fsdp_config"]),
        ("FSDP", _ZERO, _FSDP, ["deepspeed_config"]),
        ("DEEPSPEED", _ZERO, _FSDP, ["fsdp_config"]),
    ],
)
def test_the_other_block_is_told(kind: str, zero: str, fsdp: str, keys: list[str]) -> None:
    told = found("CK340", {"a.yaml": _FILE % (kind, zero, fsdp)})
    assert [one.key for one in told] == keys
    assert [one.line for one in told] == [3 if key.startswith("deep") else 4 for key in keys]


@pytest.mark.parametrize(
    ("kind", "zero", "fsdp"),
    [("DEEPSPEED", _ZERO, "{}"), ("FSDP", "{}", _FSDP), ("MULTI_GPU", "{}", "{}")],
)
def test_empty_blocks_are_what_old_files_have(kind: str, zero: str, fsdp: str) -> None:
    assert not found("CK340", {"a.yaml": _FILE % (kind, zero, fsdp)})


def test_a_flag_may_use_the_block() -> None:
    files = {"a.yaml": _FILE % ("MULTI_GPU", _ZERO, "{}"), "t.py": "from accelerate import Accelerator\n"}
    assert not found("CK340", files, "accelerate launch --config_file a.yaml --use_deepspeed t.py")
