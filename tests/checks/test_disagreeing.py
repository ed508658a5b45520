"""Two places that say different values: who refuses, with both places, and the repair that loses nothing."""

from __future__ import annotations

import json

import pytest

from dsbridge.diagnostics import Severity
from tests.checks.finding import found
from tests.checks.test_wishes import ACCELERATE, LAUNCH, SCRIPT, TRAINER, XTUNER

DS = {"zero_optimization": {"stage": 2}, "train_micro_batch_size_per_gpu": "auto"}
LLAMAFACTORY = """model_name_or_path: meta-llama/Llama-3.1-8B
stage: sft
do_train: true
finetuning_type: lora
dataset: alpaca_en_demo
template: llama3
output_dir: saves/llama3
per_device_train_batch_size: 1
deepspeed: ds.json
%s
"""


def ds(**more: object) -> dict[str, str]:
    return {"ds.json": json.dumps({**DS, **more}, indent=1)}


@pytest.mark.parametrize(
    ("key", "value", "flag"),
    [
        ("gradient_accumulation_steps", 4, "gradient_accumulation_steps 2"),
        ("gradient_clipping", 0.5, "max_grad_norm 0.3"),
        ("optimizer", {"type": "AdamW", "params": {"lr": 1e-3}}, "learning_rate 1e-4"),
        ("optimizer", {"type": "AdamW", "params": {"weight_decay": 0.1}}, "weight_decay 0.0"),
        ("bf16", {"enabled": False}, "bf16"),
        ("scheduler", {"type": "WarmupLR", "params": {"warmup_num_steps": 5}}, "warmup_steps 9"),
    ],
)
@pytest.mark.parametrize("version", ["5.23.0", "4.51.3"])
def test_the_trainer_refuses_and_auto_repairs(key: str, value: object, flag: str, version: str) -> None:
    versions = {"transformers": version}
    (finding,) = found("CK205", ds(**{key: value}), f"{TRAINER}--{flag}", versions=versions)
    assert finding.severity is Severity.ERROR
    assert finding.file == "ds.json"
    assert "command:" in finding.message
    assert finding.fix is not None
    (edit,) = finding.fix.edits
    assert (edit.file, edit.action, edit.value) == ("ds.json", "set", "auto")
    assert edit.path[0] == key
    assert not found("EX005", ds(**{key: value}), f"{TRAINER}--{flag}", versions=versions)


def test_a_default_never_replaces_what_was_written() -> None:
    files = {"train.yaml": LLAMAFACTORY % "bf16: true", **ds(gradient_accumulation_steps=8)}
    (finding,) = found("CK205", files)
    assert "its default" in finding.message
    assert finding.fix is not None
    assert finding.fix.edits == ((("train.yaml", ("gradient_accumulation_steps",), "set", 8)),)
    (finding,) = found("CK205", ds(gradient_accumulation_steps=8), TRAINER)
    assert finding.fix is None  # the arguments stand on a command line


def test_equal_values_are_no_quarrel_and_quotes_are() -> None:
    assert not found("CK205", ds(gradient_accumulation_steps=2), f"{TRAINER}--gradient_accumulation_steps 2")
    block = {"type": "AdamW", "params": {"lr": "1e-4"}}
    (finding,) = found("CK205", ds(optimizer=block), f"{TRAINER}--learning_rate 1e-4")
    assert finding.fix is not None


def test_xtuner_and_accelerate_do_not_refuse() -> None:
    files = {"config.py": XTUNER % "", **ds(gradient_accumulation_steps=4)}
    assert not found("CK205", files, "xtuner train config.py --deepspeed ds.json")
    files = {"accelerate.yaml": ACCELERATE % "  deepspeed_config_file: ds.json",
             "train.py": SCRIPT % "gradient_accumulation_steps=2",
             **ds(gradient_accumulation_steps=4)}  # fmt: skip
    assert not found("CK205", files, LAUNCH)


def test_every_key_that_accelerate_refuses_beside_a_config() -> None:
    block = (
        "  deepspeed_config_file: ds.json\n  zero_stage: 2\n  gradient_clipping: 0.5\nmixed_precision: bf16"
    )
    files = {"accelerate.yaml": ACCELERATE % block, "train.py": SCRIPT % "",
             **ds(gradient_clipping="auto", gradient_accumulation_steps=1)}  # fmt: skip
    said = {finding.key: finding for finding in found("CK206", files, LAUNCH)}
    assert set(said) == {
        "deepspeed_config.zero_stage",
        "deepspeed_config.gradient_clipping",
        "mixed_precision",
    }
    assert len(said["deepspeed_config.zero_stage"].fix.edits) == 1  # type: ignore[union-attr]
    moved = said["deepspeed_config.gradient_clipping"].fix
    assert moved is not None
    assert moved.edits[1] == ("ds.json", ("gradient_clipping",), "set", 0.5)
    assert said["mixed_precision"].fix is None
    assert not found("EX005", files, LAUNCH)
    flags = LAUNCH.replace(" train.py", " --mixed_precision bf16 train.py")
    files["accelerate.yaml"] = ACCELERATE % "  deepspeed_config_file: ds.json"
    assert not found("CK206", files, flags)  # a flag is taken


def test_the_precision_that_is_asked_for_against_the_config() -> None:
    (finding,) = found("CK207", ds(fp16={"enabled": True}), f"{TRAINER}--bf16")
    assert (finding.key, finding.file) == ("fp16.enabled", "ds.json")
    assert finding.fix is not None
    assert not found("EX005", ds(fp16={"enabled": True}), f"{TRAINER}--bf16")
    assert not found("CK207", ds(fp16={"enabled": True}), f"{TRAINER}--fp16")
    (finding,) = found("CK207", ds(), f"{TRAINER}--fp16 --bf16")
    assert "TR117" in finding.message
    files = {"accelerate.yaml": ACCELERATE % "  deepspeed_config_file: ds.json",
             "train.py": SCRIPT % 'mixed_precision="fp16"', **ds(bf16={"enabled": True})}  # fmt: skip
    (finding,) = found("CK207", files, LAUNCH)
    assert "train.py:4" in finding.message


def test_both_formats_on_in_a_config_that_nobody_names() -> None:
    on = {"enabled": True}
    (finding,) = found("CK207", ds(fp16=on, bf16=on))
    assert finding.line == 10
    assert not found("CK207", ds(fp16=on, bf16={"enabled": "auto"}))


def test_a_device_without_the_format() -> None:
    auto = {"enabled": "auto"}
    none = {"bf16_supported": False}
    for version in ("5.23.0", "4.51.3"):
        versions = {"transformers": version}
        (finding,) = found("CK208", ds(bf16=auto), f"{TRAINER}--bf16", facts=none, versions=versions)
        assert "bf16" in finding.message
    assert not found("CK208", ds(bf16=auto), f"{TRAINER}--bf16")
    assert not found("CK208", ds(bf16=auto), TRAINER, facts=none)


def test_xtuner_asks_the_gpu() -> None:
    auto = {"enabled": "auto"}
    command = "xtuner train config.py --deepspeed ds.json"
    (finding,) = found("CK209", {"config.py": XTUNER % "", **ds(bf16=auto, fp16=auto)}, command)
    assert finding.severity is Severity.INFO
    assert "else in fp16" in finding.message
    (finding,) = found("CK209", {"config.py": XTUNER % "", **ds(bf16=auto)}, command)
    assert "else in float32" in finding.message
    assert not found("CK209", {"config.py": XTUNER % "", **ds(fp16=auto)}, command)
    assert not found("CK209", ds(bf16=auto), f"{TRAINER}--bf16")


def test_the_total_is_repaired_with_the_steps_that_it_needs() -> None:
    command = f"{TRAINER}--per_device_train_batch_size 2 --gradient_accumulation_steps 4"
    (finding,) = found("CK205", ds(train_batch_size=64), command)
    assert finding.fix is not None
    assert [edit.path for edit in finding.fix.edits] == [
        ("train_batch_size",),
        ("gradient_accumulation_steps",),
    ]
    repaired = ds(train_batch_size="auto", gradient_accumulation_steps="auto")
    assert not found("CK205", repaired, command)
    assert not found("EX005", repaired, command)
    (finding,) = found("CK205", ds(train_batch_size=64), f"{TRAINER}--per_device_train_batch_size 2")
    assert finding.fix is None  # the accumulation is said by nobody
