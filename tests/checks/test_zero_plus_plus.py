"""ZeRO++ and the ranks."""

from __future__ import annotations

import pytest

from tests.checks.finding import found

_DS = """{"zero_optimization": {"stage": %d, %s}, "bf16": {"enabled": "auto"},
 "train_micro_batch_size_per_gpu": "auto"}"""
_HPZ = '"zero_hpz_partition_size": %d'
_RUN = "torchrun --nnodes 2 --nproc_per_node %d train.py --output_dir out --deepspeed ds.json --bf16 true"


@pytest.mark.parametrize(("size", "each", "codes"), [(4, 3, ["CK330"]), (8, 8, []), (16, 8, ["CK331"])])
def test_groups_divide_the_ranks(size: int, each: int, codes: list[str]) -> None:
    files = {"ds.json": _DS % (3, _HPZ % size)}
    assert [code for code in ("CK330", "CK331") if found(code, files, _RUN % each)] == codes


def test_more_than_the_ranks_is_cut_to_them() -> None:
    files = {"ds.json": _DS % (3, _HPZ % 7)}
    assert not found("CK330", files, _RUN % 3)
    assert found("CK331", files, _RUN % 3)


def test_one_rank_a_group_is_off_and_stage_2_has_none() -> None:
    assert not found("CK330", {"ds.json": _DS % (3, _HPZ % 1)}, _RUN % 3)
    assert not found("CK330", {"ds.json": _DS % (2, _HPZ % 4)}, _RUN % 3)


@pytest.mark.parametrize("version", ["0.16.2", "0.19.8"])
def test_quantized_gradients_are_of_stage_3(version: str) -> None:
    key = '"zero_quantized_gradients": true'
    assert found("CK332", {"ds.json": _DS % (2, key)}, versions={"deepspeed": version})
    assert not found("CK332", {"ds.json": _DS % (3, key)}, versions={"deepspeed": version})
