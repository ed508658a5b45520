"""Values that do not train: who wins, where both stand, and when there is nothing to say."""

from __future__ import annotations

import pytest

from dsbridge.diagnostics import Severity
from dsbridge.subjects.wishes import alike
from tests.checks.finding import found

TRAINER = "torchrun --nproc_per_node 2 train.py --output_dir o --deepspeed ds.json "
DS = '{"zero_optimization": {"stage": 2}, "train_micro_batch_size_per_gpu": "auto"%s}'
GAS = ', "gradient_accumulation_steps": %s'
XTUNER = """from mmengine.optim import AmpOptimWrapper
from torch.optim import AdamW

model = dict(type='model')
env_cfg = dict(dist_cfg=dict(backend='nccl'))
train_dataloader = dict(batch_size=2, dataset=dict(type='rows'))
optim_wrapper = dict(type=AmpOptimWrapper, optimizer=dict(type=AdamW, lr=2e-4)%s)
train_cfg = dict(type='TrainLoop', max_epochs=1)
"""
ACCELERATE = """compute_environment: LOCAL_MACHINE
distributed_type: DEEPSPEED
deepspeed_config:
%s
num_processes: 4
"""
SCRIPT = """import torch
from accelerate import Accelerator

accelerator = Accelerator(%s)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
loader = torch.utils.data.DataLoader(rows, batch_size=4)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
"""
LAUNCH = "accelerate launch --config_file accelerate.yaml train.py"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [(5e8, 500000000, True), ("True", True, True), ("1e-4", 1e-4, True), (1, True, False), ("a", "b", False),
     (None, 0, False), ("auto", 1, False)],
)  # fmt: skip
def test_what_deepspeed_takes_for_the_same(one: object, other: object, same: bool) -> None:
    assert alike(one, other) is same


def test_xtuner_overrules_fp16_where_the_gpu_has_bf16() -> None:
    ds = DS % ', "fp16": {"enabled": true}, "bf16": {"enabled": "auto"}'
    files = {"config.py": XTUNER % "", "ds.json": ds}
    (finding,) = found("CK200", files, "xtuner train config.py --deepspeed ds.json")
    assert (finding.file, finding.key, finding.severity) == ("ds.json", "fp16.enabled", Severity.WARNING)
    assert "XT136" in finding.message
    none = {"config.py": XTUNER % "", "ds.json": DS % ', "fp16": {"enabled": true}'}
    assert not found("CK200", none, "xtuner train config.py --deepspeed ds.json")


def test_a_flag_loses_against_the_file_that_the_yaml_names() -> None:
    files = {
        "accelerate.yaml": ACCELERATE % "  deepspeed_config_file: ds.json",
        "ds.json": DS % (GAS % '"auto"'),
        "train.py": SCRIPT % "",
    }
    command = LAUNCH.replace(" train.py", " --zero_stage 3 train.py")
    (finding,) = found("CK200", files, command)
    assert finding.severity is Severity.INFO  # what is sharded differs, the arithmetic does not
    assert "zero_stage = 3" in finding.message
    assert "ds.json:1" in finding.message
    assert not found("CK200", files, command.replace("_stage 3", "_stage 2"))


def test_what_training_does_not_notice_is_not_told() -> None:
    ds = DS % ', "steps_per_print": 10, "wall_clock_breakdown": false'
    assert not found("CK200", {"ds.json": ds}, TRAINER)


@pytest.mark.parametrize(("curve", "block", "severity"), [
    ("cosine", "WarmupLR", Severity.WARNING), ("linear", "WarmupLR", Severity.WARNING),
    ("constant", "WarmupLR", Severity.INFO), ("cosine", "WarmupDecayLR", Severity.WARNING),
    ("constant_with_warmup", "WarmupLR", None), ("linear", "WarmupDecayLR", None),
])  # fmt: skip
def test_a_scheduler_block_wins(curve: str, block: str, severity: Severity | None) -> None:
    ds = DS % f', "scheduler": {{"type": "{block}", "params": {{"total_num_steps": "auto"}}}}'
    said = found("CK201", {"ds.json": ds}, f"{TRAINER}--lr_scheduler_type {curve}")
    assert [finding.severity for finding in said] == ([severity] if severity else [])
    assert not found("CK201", {"ds.json": ds}, TRAINER)  # nobody chose a curve


@pytest.mark.parametrize(("norm", "version", "tells"), [
    ("0.3", "0.19.8", "clips at 1.0"), ("1.0", "0.19.8", ""), ("1.0", "0.18.4", "does not clip"),
    ("0.3", "0.16.9", "does not clip"),
])  # fmt: skip
def test_clipping_follows_the_default_of_the_version(norm: str, version: str, tells: str) -> None:
    versions = {"deepspeed": version}
    said = found("CK202", {"ds.json": DS % ""}, f"{TRAINER}--max_grad_norm {norm}", versions=versions)
    assert [tells in finding.message for finding in said] == ([True] if tells else [])
    assert all(finding.fix and finding.fix.edits[0].path == ("gradient_clipping",) for finding in said)
    written = DS % ', "gradient_clipping": "auto"'
    assert not found("CK202", {"ds.json": written}, f"{TRAINER}--max_grad_norm {norm}", versions=versions)


def test_accelerate_leaves_out_a_clipping_of_0() -> None:
    files = {"accelerate.yaml": ACCELERATE % "  gradient_clipping: 0.0", "train.py": SCRIPT % ""}
    (finding,) = found("CK202", files, LAUNCH)
    assert (finding.file, finding.line) == ("accelerate.yaml", 4)
    assert not found("CK202", {**files, "accelerate.yaml": ACCELERATE % "  gradient_clipping: 0.5"}, LAUNCH)


def test_accumulation_under_accelerate_is_said_with_both_places_and_batches() -> None:
    files = {
        "accelerate.yaml": ACCELERATE % "  gradient_accumulation_steps: 1\n  zero_stage: 2",
        "train.py": SCRIPT % "gradient_accumulation_steps=8",
    }
    (finding,) = found("CK203", files, LAUNCH)
    assert (finding.file, finding.severity) == ("train.py", Severity.WARNING)
    assert "accelerate.yaml:4" in finding.message
    assert "16 samples in place of 128" in finding.message
    assert not found("CK203", {**files, "train.py": SCRIPT % "gradient_accumulation_steps=1"}, LAUNCH)


def test_a_missing_key_becomes_1_and_can_be_filled() -> None:
    command = f"{TRAINER}--gradient_accumulation_steps 4"
    (finding,) = found("CK203", {"ds.json": DS % ""}, command)
    assert finding.fix is not None
    assert "Accelerate writes 1" in finding.message
    total = DS % ', "train_batch_size": 64'
    (finding,) = found("CK203", {"ds.json": total}, command)
    assert finding.severity is Severity.INFO  # the total stands, the micro batch gives way
    assert not found("CK203", {"ds.json": DS % (GAS % '"auto"')}, command)


def test_xtuner_keeps_three_values_of_its_own() -> None:
    ds = DS.replace('"auto"', "4") % (GAS % 8 + ', "gradient_clipping": 0.3')
    files = {"config.py": XTUNER % ", clip_grad=dict(max_norm=1)", "ds.json": ds}
    said = {d.key: d for d in found("CK204", files, "xtuner train config.py --deepspeed ds.json")}
    assert set(said) == {
        "train_micro_batch_size_per_gpu",
        "gradient_accumulation_steps",
        "gradient_clipping",
    }
    assert (
        "no optim_wrapper.accumulative_counts, which is then 1" in said["gradient_accumulation_steps"].message
    )
    assert said["gradient_accumulation_steps"].fix is None  # nobody else says the number
    assert said["gradient_clipping"].fix is not None
    same = DS.replace('"auto"', "2") % (GAS % 1 + ', "gradient_clipping": 1')
    assert not found("CK204", {**files, "ds.json": same}, "xtuner train config.py --deepspeed ds.json")


@pytest.mark.parametrize(("dtype", "block", "told"), [
    ("bfloat16", '"bf16": {"enabled": true}', 0), ("bfloat16", '"fp16": {"enabled": true}', 1),
    ("float16", '"bf16": {"enabled": true}', 1), ("bfloat16", '"bf16": {"enabled": false}', 1),
])  # fmt: skip
def test_a_format_by_its_name_and_deepspeeds_switch_say_the_same(dtype: str, block: str, told: int) -> None:
    files = {"config.py": XTUNER % f", dtype={dtype!r}", "ds.json": DS % f", {block}"}
    said = found("CK200", files, "xtuner train config.py --deepspeed ds.json")
    assert sum("optim_wrapper.dtype" in finding.message for finding in said) == told
