"""Optimizer, scheduler, learning rate and activation checkpoints: which half holds."""

from __future__ import annotations

import json

import pytest

from dsbridge.diagnostics import Severity
from tests.checks.finding import found
from tests.checks.test_disagreeing import LLAMAFACTORY
from tests.checks.test_wishes import ACCELERATE, LAUNCH, TRAINER, XTUNER

SCRIPT = """import torch
from accelerate import Accelerator
from accelerate.utils import DummyOptim, DummyScheduler
from torch.optim.lr_scheduler import LambdaLR

accelerator = Accelerator()
optimizer = {optimizer}(model.parameters(), lr=1e-4)
scheduler = {scheduler}
loader = torch.utils.data.DataLoader(rows, batch_size=4)
model, optimizer, loader, scheduler = accelerator.prepare(model, optimizer, loader, scheduler)
"""
TORCH, DUMMY = "torch.optim.AdamW", "DummyOptim"
REAL = "LambdaLR(optimizer, lambda step: 1.0)"
DUMMY_SCHEDULER = "DummyScheduler(optimizer, total_num_steps=100, warmup_num_steps=4)"
ADAMW = {"type": "AdamW", "params": {"lr": "auto"}}
WARMUP = {"type": "WarmupDecayLR", "params": {"total_num_steps": 100, "warmup_max_lr": 1e-4}}


def ds(**more: object) -> dict[str, str]:
    config = {"zero_optimization": {"stage": 2}, "train_micro_batch_size_per_gpu": "auto",
              "gradient_accumulation_steps": 1, **more}  # fmt: skip
    return {"ds.json": json.dumps(config, indent=1)}


@pytest.mark.parametrize("version", ["1.15.0", "1.6.0"])
@pytest.mark.parametrize(
    ("optimizer", "scheduler", "blocks", "rule"),
    [
        (TORCH, REAL, {"optimizer": ADAMW}, "ACC223"),
        (DUMMY, DUMMY_SCHEDULER, {"scheduler": WARMUP}, "ACC224"),
        (TORCH, REAL, {"scheduler": WARMUP}, "ACC225"),
        (TORCH, DUMMY_SCHEDULER, {}, "ACC226"),
        (DUMMY, REAL, {"optimizer": ADAMW}, "ACC227"),
        (TORCH, REAL, {}, ""),
        (DUMMY, DUMMY_SCHEDULER, {"optimizer": ADAMW, "scheduler": WARMUP}, ""),
        (TORCH, DUMMY_SCHEDULER, {"scheduler": WARMUP}, ""),
    ],
)
def test_the_halves_that_go_together(
    optimizer: str, scheduler: str, blocks: dict[str, object], rule: str, version: str
) -> None:
    files = {
        "accelerate.yaml": ACCELERATE % "  deepspeed_config_file: ds.json",
        "train.py": SCRIPT.format(optimizer=optimizer, scheduler=scheduler),
        **ds(**blocks),
    }
    said = found("CK211", files, LAUNCH, versions={"accelerate": version})
    assert [rule in finding.message for finding in said] == ([True] if rule else [])
    assert all(finding.severity is Severity.ERROR for finding in said)
    assert not found("EX005", files, LAUNCH, versions={"accelerate": version})


def test_the_trainer_takes_an_optimizer_without_a_scheduler() -> None:
    files = ds(optimizer={"type": "AdamW", "params": {"lr": "auto"}})
    assert not found("CK211", files, TRAINER)
    assert not found("EX005", files, TRAINER)


@pytest.mark.parametrize(("kind", "version", "fires"), [
    ("WarmupLR", "0.16.9", True), ("WarmupLR", "0.17.1", True), ("WarmupLR", "0.17.2", False),
    ("WarmupLR", "0.19.8", False), ("WarmupDecayLR", "0.16.9", True), ("WarmupDecayLR", "0.19.8", True),
    ("WarmupCosineLR", "0.19.8", False),
])  # fmt: skip
def test_the_default_peak_by_version(kind: str, version: str, fires: bool) -> None:
    optimizer = {"type": "AdamW", "params": {"lr": 1e-5}}
    params = {"total_num_steps": 100} if kind != "WarmupLR" else {}
    files = ds(optimizer=optimizer, scheduler={"type": kind, "params": params})
    said = found("CK212", files, versions={"deepspeed": version})
    assert bool(said) is fires
    for finding in said:
        assert "0.001" in finding.message
        assert finding.fix is not None
        assert finding.fix.edits[0].value == 1e-5


def test_a_peak_that_is_not_the_optimizers() -> None:
    def files(lr: object, peak: object) -> dict[str, str]:
        return ds(
            optimizer={"type": "AdamW", "params": {"lr": lr}},
            scheduler={"type": "WarmupLR", "params": {"warmup_max_lr": peak}},
        )

    (finding,) = found("CK212", files(1.5e-4, 1e-3))
    assert finding.key == "scheduler.params.warmup_max_lr"
    assert not found("CK212", files(1e-4, 1e-4))
    assert not found("CK212", files("auto", 1e-4))
    assert not found("CK212", files(1e-4, "auto"))


def test_the_peak_against_the_arguments() -> None:
    scheduler = {"type": "WarmupDecayLR", "params": {"total_num_steps": "auto"}}
    command = f"{TRAINER}--learning_rate 2e-5 --max_steps 100"
    (finding,) = found("CK212", ds(scheduler=scheduler), command)
    assert "learning_rate is 2e-05" in finding.message
    filled = {"type": "WarmupDecayLR", "params": {"total_num_steps": "auto", "warmup_max_lr": "auto"}}
    assert not found("CK212", ds(scheduler=filled), command)


def test_another_optimizer_than_the_argument_names() -> None:
    block = ds(optimizer=ADAMW)
    (finding,) = found("CK200", block, f"{TRAINER}--optim adafactor")
    assert "another optimizer trains the model" in finding.message
    assert finding.severity is Severity.WARNING
    assert not found("CK200", block, f"{TRAINER}--optim adamw_torch")  # the same algorithm
    assert not found("CK200", ds(), f"{TRAINER}--optim adafactor")


def test_pure_bf16_is_half_true() -> None:
    files = {"train.yaml": LLAMAFACTORY % "pure_bf16: true", **ds(bf16={"enabled": "auto"})}
    (finding,) = found("CK200", files)
    assert finding.severity is Severity.INFO
    both = {"train.yaml": LLAMAFACTORY % "pure_bf16: true\nbf16: true", **ds(bf16={"enabled": "auto"})}
    assert not found("CK200", both)


def test_the_block_of_activation_checkpoints() -> None:
    files = ds(activation_checkpointing={"partition_activations": True, "cpu_checkpointing": False})
    (finding,) = found("CK213", files, TRAINER)
    assert finding.severity is Severity.INFO  # the script is not shown
    assert finding.fix is not None
    script = "from transformers import *\nargs = TrainingArguments('o', deepspeed='ds.json')\n%s"
    script += "Trainer(AutoModelForCausalLM.from_pretrained('m'), args, train_dataset=rows).train()\n"
    command = "torchrun --nproc_per_node 2 train.py"
    (finding,) = found("CK213", {"train.py": script % "", **files}, command)
    assert finding.severity is Severity.WARNING
    enabled = script.replace("deepspeed=", "gradient_checkpointing=True, deepspeed=") % ""
    (finding,) = found("CK213", {"train.py": enabled, **files}, command)
    assert finding.severity is Severity.INFO
    own = script % "deepspeed.checkpointing.configure(None, deepspeed_config='ds.json')\n"
    assert not found("CK213", {"train.py": own, **files}, command)
    assert not found("CK213", files)  # nobody knows who reads it
    off = ds(activation_checkpointing={"partition_activations": False})
    assert not found("CK213", off, TRAINER)
    assert found("CK213", {"config.py": XTUNER % "", **files}, "xtuner train config.py --deepspeed ds.json")


def test_a_script_that_nobody_shows_is_not_wrong() -> None:
    """What dsbridge renders for Accelerate: the script is the user's, and must pass DummyOptim."""
    files = ds(optimizer=ADAMW) | {"accelerate.yaml": ACCELERATE % "  deepspeed_config_file: ds.json"}
    assert not found("CK211", files, LAUNCH)
    assert not found("EX005", files, LAUNCH)
