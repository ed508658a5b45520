"""Which "auto" nobody fills: asked of the prediction, with and without a framework."""

from __future__ import annotations

import json

import pytest

from dsbridge.diagnostics import Severity
from dsbridge.plugins import registry
from dsbridge.subjects.autos import DROPPED, FILLED, FRAMEWORKS, REFUSED, autos, fate_in, unfilled
from dsbridge.trees import store
from tests.checks.finding import found
from tests.checks.test_wishes import ACCELERATE, LAUNCH, SCRIPT, TRAINER, XTUNER

AUTO = {"enabled": "auto"}


def ds(*paths: str, **more: object) -> dict[str, str]:
    config = {"zero_optimization": {"stage": 3}, "train_micro_batch_size_per_gpu": "auto", **more}
    for path in paths:
        store(config, path, "auto")
    return {"ds.json": json.dumps(config, indent=1)}


def test_autos_are_found_at_any_depth() -> None:
    value = {"a": "auto", "b": {"c": {"d": "auto"}, "e": 1}, "f": ["auto"]}
    assert list(autos(value)) == ["a", "b.c.d"]


def test_the_four_do_not_fill_the_same() -> None:
    def kinds(path: str) -> list[str]:
        found = (fate_in(registry(), name, path, {}) for name in FRAMEWORKS)
        return [fate.kind for fate in found if fate]

    assert kinds("optimizer.params.betas")[:2] == [FILLED, REFUSED]
    assert kinds("zero_optimization.stage") == [FILLED, FILLED, DROPPED, DROPPED]
    stage = fate_in(registry(), "xtuner", "zero_optimization.stage", {})
    assert stage is not None
    assert stage.default == 0
    same = fate_in(registry(), "llamafactory", "gradient_clipping", {})
    assert same is not None
    assert same.kind == FILLED
    assert not unfilled(registry(), "gradient_clipping", {})
    assert [fate.kind for fate in unfilled(registry(), "scheduler.type", {})] == [REFUSED] * 4
    assert fate_in(registry(), "unheard-of", "gradient_clipping", {}) is None


@pytest.mark.parametrize("path", [
    "gradient_clipping", "train_batch_size", "bf16.enabled", "zero_optimization.reduce_bucket_size",
    "zero_optimization.stage", "zero_optimization.offload_param.nvme_path", "scheduler.params.warmup_max_lr",
    "optimizer.params.betas", "data_types.keep_in_fp32_modules",
])  # fmt: skip
def test_a_config_alone_may_hold_what_one_of_them_fills(path: str) -> None:
    assert not found("CK210", ds(path))


@pytest.mark.parametrize(("path", "severity", "tells"), [
    ("zero_optimization.stage3_max_live_parameters", Severity.WARNING, "its default, 1000000000"),
    ("zero_optimization.overlap_comm", Severity.WARNING, "HF Trainer stops with ValueError"),
    ("scheduler.type", Severity.ERROR, "DeepSpeed alone: it stops with AssertionError"),
    ("communication_data_type", Severity.ERROR, "DS106"),
    ("activation_checkpointing.partition_activations", Severity.WARNING, 'stays the text "auto"'),
])  # fmt: skip
def test_and_not_what_none_of_them_fills(path: str, severity: Severity, tells: str) -> None:
    (finding,) = found("CK210", ds(path))
    assert (finding.key, finding.file, finding.severity) == (path, "ds.json", severity)
    assert tells in finding.message


def test_the_autotuner_fills_its_own() -> None:
    assert not found("CK210", ds("zero_optimization.overlap_comm", autotuning={"enabled": True}))


def test_the_trainer_names_the_first_and_the_check_all() -> None:
    files = ds("zero_optimization.overlap_comm", "zero_optimization.sub_group_size", bf16=AUTO)
    said = found("CK210", files, f"{TRAINER}--bf16")
    assert [finding.key for finding in said] == [
        "zero_optimization.overlap_comm",
        "zero_optimization.sub_group_size",
    ]
    assert all(finding.severity is Severity.ERROR for finding in said)
    assert not found("EX005", files, f"{TRAINER}--bf16")
    assert not found("CK210", ds("gradient_clipping", bf16=AUTO), f"{TRAINER}--bf16")


def test_xtuner_leaves_the_stage_to_deepspeed() -> None:
    command = "xtuner train config.py --deepspeed ds.json"
    (finding,) = found("CK210", {"config.py": XTUNER % "", **ds("zero_optimization.stage")}, command)
    assert "takes its default, 0" in finding.message
    assert not found("CK210", {"config.py": XTUNER % "", **ds("gradient_clipping", fp16=AUTO)}, command)


def test_accelerate_fills_no_betas_of_its_own() -> None:
    script = SCRIPT.replace("torch.optim.AdamW", "DummyOptim").replace(
        "import Accelerator", "import Accelerator\nfrom accelerate.utils import DummyOptim"
    )
    block = {"type": "AdamW", "params": {"lr": "auto", "betas": "auto"}}
    files = {"accelerate.yaml": ACCELERATE % "  deepspeed_config_file: ds.json", "train.py": script % "",
             **ds(optimizer=block, gradient_accumulation_steps=1)}  # fmt: skip
    (finding,) = found("CK210", files, LAUNCH)
    assert finding.key == "optimizer.params.betas"
