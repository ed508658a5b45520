"""An optimizer that offload replaces."""

from __future__ import annotations

import pytest

from tests.checks.finding import found

_DS = """{"zero_optimization": {"stage": 2, "offload_optimizer": {"device": "%s"}}, %s
 "bf16": {"enabled": "auto"}, "train_micro_batch_size_per_gpu": "auto"}"""
_RUN = "torchrun --nproc_per_node 2 train.py --output_dir out --deepspeed ds.json --bf16 true --optim %s"
_ADAMW = '"optimizer": {"type": "AdamW", "params": {"lr": "auto"}},'


@pytest.mark.parametrize("name", ["paged_adamw_8bit", "adamw_bnb_8bit", "sgd", "adafactor", "lion_8bit"])
def test_another_optimizer_is_told(name: str) -> None:
    (one,) = found("CK306", {"ds.json": _DS % ("cpu", "")}, _RUN % name)
    assert name in one.message
    assert one.key == "optim"
    assert ("L2" in one.message) is ("adamw" in name)


@pytest.mark.parametrize("name", ["adamw_torch", "adamw_torch_fused", "paged_adamw_32bit"])
def test_adamw_stays_adamw(name: str) -> None:
    assert not found("CK306", {"ds.json": _DS % ("cpu", "")}, _RUN % name)


def test_without_offload_it_is_kept() -> None:
    assert not found("CK306", {"ds.json": _DS % ("none", "")}, _RUN % "paged_adamw_8bit")


def test_an_optimizer_block_is_another_story() -> None:
    assert not found("CK306", {"ds.json": _DS % ("cpu", _ADAMW)}, _RUN % "paged_adamw_8bit")


def test_llamafactory_too() -> None:
    yaml = """model_name_or_path: m
stage: sft
do_train: true
finetuning_type: lora
dataset: identity
template: qwen
output_dir: out
bf16: true
deepspeed: ds.json
optim: paged_adamw_8bit
"""
    (one,) = found("CK306", {"a.yaml": yaml, "ds.json": _DS % ("cpu", "")}, "llamafactory-cli train a.yaml")
    assert (one.file, one.line, one.key) == ("a.yaml", 10, "optim")
