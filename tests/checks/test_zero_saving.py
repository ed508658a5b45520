"""ZeRO-3 whose weights are not gathered to be saved."""

from __future__ import annotations

import pytest

from tests.checks.finding import found

_DS = """{"zero_optimization": {"stage": %d%s}, "bf16": {"enabled": "auto"},
 "train_micro_batch_size_per_gpu": "auto"}"""
_GATHER = ', "stage3_gather_16bit_weights_on_model_save": %s'
_RUN = "torchrun --nproc_per_node 2 train.py --output_dir out --deepspeed ds.json --bf16 true"
_LF = """model_name_or_path: m
stage: sft
do_train: true
finetuning_type: %s
dataset: identity
template: qwen
output_dir: out
bf16: true
deepspeed: ds.json
"""
_YAML = """distributed_type: DEEPSPEED
num_processes: 2
deepspeed_config:
  zero_stage: 3
  zero3_save_16bit_model: %s
"""


@pytest.mark.parametrize("gather", ["", _GATHER % "false", _GATHER % '"auto"'])
def test_the_trainer_saves_shards(gather: str) -> None:
    (one,) = found("CK320", {"ds.json": _DS % (3, gather)}, _RUN)
    assert one.severity.value == "warning"
    assert "zero_to_fp32.py" in one.message


@pytest.mark.parametrize(
    ("stage", "gather", "flag"),
    [(3, _GATHER % "true", ""), (2, "", ""), (3, "", " --save_strategy no")],
    ids=["gathered", "whole at stage 2", "nothing is saved"],
)
def test_a_model_is_saved(stage: int, gather: str, flag: str) -> None:
    assert not found("CK320", {"ds.json": _DS % (stage, gather)}, _RUN + flag)


def test_an_adapter_is_gathered_by_itself() -> None:
    ds = {"ds.json": _DS % (3, "")}
    assert not found("CK320", {"a.yaml": _LF % "lora", **ds}, "llamafactory-cli train a.yaml")
    assert found("CK320", {"a.yaml": _LF % "full", **ds}, "llamafactory-cli train a.yaml")


@pytest.mark.parametrize(("version", "told"), [("4.52.4", True), ("5.6.0", False)])
def test_old_transformers_lose_the_adapter_too(version: str, told: bool) -> None:
    files = {"a.yaml": _LF % "lora", "ds.json": _DS % (3, "")}
    findings = found("CK320", files, "llamafactory-cli train a.yaml", versions={"transformers": version})
    assert bool(findings) is told
    assert all("adapter_model.safetensors" in one.message for one in findings)


def test_accelerate_depends_on_the_script() -> None:
    (one,) = found("CK320", {"a.yaml": _YAML % "false"})
    assert one.severity.value == "info"
    assert (one.key, one.line) == ("deepspeed_config.zero_stage", 4)
    assert not found("CK320", {"a.yaml": _YAML % "true"})


def test_a_config_alone_is_for_the_record() -> None:
    (one,) = found("CK320", {"ds.json": _DS % (3, "")})
    assert one.severity.value == "info"


def test_autotp_splits_them_at_any_stage() -> None:
    ds = _DS.replace('"bf16"', '"tensor_parallel": {"autotp_size": 2}, "bf16"')
    (one,) = found("CK320", {"ds.json": ds % (1, "")})
    assert one.message.startswith("AutoTP without")
    assert found("CK414", {"ds.json": ds % (1, "")}, _RUN)
    assert not found("CK320", {"ds.json": ds % (1, "")}, _RUN), "one mistake is told once"
    assert not found("CK320", {"ds.json": ds % (1, _GATHER % "true")}, _RUN)
    assert not found("CK300", {"ds.json": ds % (1, _GATHER % "true")}, _RUN)
