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


_WEIGHTS = """{"zero_optimization": {"stage": %d, "zero_quantized_weights": true},
 "%s": {"enabled": true}, "train_micro_batch_size_per_gpu": 1}"""


@pytest.mark.parametrize(
    ("stage", "dtype", "version", "fires"),
    [
        (3, "bf16", "0.16.2", True),
        (3, "bf16", "0.19.5", True),
        (3, "bf16", "0.19.6", False),
        (3, "fp16", "0.18.4", False),
        (2, "bf16", "0.18.4", False),
    ],
)
def test_quantized_weights_in_bf16(stage: int, dtype: str, version: str, fires: bool) -> None:
    told = found("CK333", {"ds.json": _WEIGHTS % (stage, dtype)}, versions={"deepspeed": version})
    assert bool(told) is fires
    assert all(finding.severity.value == "error" for finding in told)


def test_a_release_that_nobody_named_is_no_error() -> None:
    files = {"ds.json": _WEIGHTS % (3, "bf16")}
    assert not found("CK333", files)
    command = (
        "FORCE_TORCHRUN=1 llamafactory-cli train --stage sft --do_train true --model_name_or_path m "
        "--dataset d --template t --finetuning_type full --output_dir o --bf16 true --deepspeed ds.json"
    )
    (told,) = found("CK333", files, command)  # LLaMA-Factory's usual DeepSpeed is an older one
    assert told.severity.value == "warning"
