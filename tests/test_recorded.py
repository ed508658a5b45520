"""What the real frameworks gave `deepspeed.initialize` for rendered files, against what the spec says.

The recordings are made by `nox -s conformance` from real training runs and are never edited by hand.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conformance.cases import SCRIPTS, Case, read_spec, xtuner_config, xtuner_variant
from conformance.recording import portable
from dsbridge.deepspeed.config import ds_key_of
from dsbridge.framework import Base
from dsbridge.rendering import render
from dsbridge.spec.batch import batch_numbers, dims
from dsbridge.spec.leaves import leaves, plain
from dsbridge.spec.load import Loaded, load_file
from dsbridge.values import AUTO
from tests.conftest import ROOT

RECORDED = ROOT / "tests" / "recorded"
# of examples as rendered; launches of two nodes are replayed by tests/launch/test_recorded.py
FILES = sorted(
    p
    for p in RECORDED.glob("*/*/*.json")
    if not p.parent.name.startswith("zero_") and p.parent.parent.name != "launching"
)
# what the frameworks add of their own; each is a rewrite that a rule will name
ADDED = {
    "accelerate": {
        "steps_per_print",
        "zero_allow_untested_optimizer",
        # its YAML fields always say both offloads, and its two precisions
        "zero_optimization.offload_optimizer.device",
        "zero_optimization.offload_optimizer.nvme_path",
        "zero_optimization.offload_param.device",
        "zero_optimization.offload_param.nvme_path",
        "zero_optimization.stage3_gather_16bit_weights_on_model_save",
    },
    "trainer": {"steps_per_print", "zero_allow_untested_optimizer"},
    "llamafactory": {"steps_per_print", "zero_allow_untested_optimizer"},
    # rendered by the plugin: XTuner's optimizer is not DeepSpeed's own
    "xtuner": {"steps_per_print", "zero_allow_untested_optimizer", "zero_force_ds_cpu_optimizer"},
    "deepspeed": set(),
}
BATCH = {
    "train_micro_batch_size_per_gpu": "micro",
    "gradient_accumulation_steps": "accumulation",
}


def recordings(outcome: str) -> list[Path]:
    return [p for p in FILES if json.loads(p.read_text())["outcome"] == outcome]


def name(path: Path) -> str:
    return f"{path.parent.parent.name}-{path.stem}"


def spec_of(recording: dict[str, Any]) -> Loaded:
    return load_file(ROOT / "examples" / recording["example"] / "dsbridge.yaml", recording["sets"])


def base_of(recording: dict[str, Any]) -> Base | None:
    if not recording["variant"]:
        return None
    path = ROOT / "examples" / recording["example"] / "dsbridge.yaml"
    case = Case(recording["example"], recording["target"], recording["variant"], read_spec(path))
    text = (SCRIPTS / "xtuner_tiny_config.py").read_text()
    return Base(xtuner_config(case), xtuner_variant(text, case.method, case.offloads_to_nvme()))


def flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            out |= flat(value, f"{prefix}{key}.")
        else:
            out[f"{prefix}{key}"] = value
    return out


def test_every_example_is_recorded_for_every_target() -> None:
    seen = {(json.loads(p.read_text())["target"], json.loads(p.read_text())["example"]) for p in FILES}
    examples = [p.parent.name for p in (ROOT / "examples").glob("*/dsbridge.yaml")]
    targets = ("accelerate", "deepspeed", "llamafactory", "trainer", "xtuner")
    assert seen == {(target, example) for target in targets for example in examples}


@pytest.mark.parametrize("path", FILES, ids=name)
def test_what_was_trained_is_what_is_rendered_now(path: Path) -> None:
    recording = json.loads(path.read_text())
    artifacts = render(spec_of(recording), recording["target"], base_of(recording))
    assert artifacts.refused == (recording["outcome"] == "refused")
    assert sorted({d.code for d in artifacts.diagnostics}) == recording["diagnostics"]
    assert portable(dict(artifacts.files), Path("/nowhere")) == recording["files"], (
        "render has changed: run `nox -s conformance -- --write` and read the difference"
    )


@pytest.mark.parametrize("path", recordings("trained"), ids=name)
def test_two_real_steps_were_made(path: Path) -> None:
    recording = json.loads(path.read_text())
    assert recording["steps"] == 2
    spec = spec_of(recording).spec
    uses_fsdp = any(p.startswith("fsdp.") for p in leaves(spec))
    assert (recording["config"] is None) == uses_fsdp
    assert bool(recording.get("fsdp")) == uses_fsdp


WITH_DEEPSPEED = [p for p in recordings("trained") if json.loads(p.read_text())["config"]]


@pytest.mark.parametrize("path", WITH_DEEPSPEED, ids=name)
def test_deepspeed_received_what_the_spec_says(path: Path) -> None:
    recording = json.loads(path.read_text())
    spec = spec_of(recording).spec
    got = flat(recording["config"])
    expected = said(spec)
    wrong = {key: (value, got.get(key)) for key, value in expected.items() if got.get(key) != value}
    assert not wrong, f"spec says, DeepSpeed got: {wrong}"
    filled = {ds_key_of(p) for p, value in leaves(spec).items() if value is AUTO}
    blocks = ("optimizer.", "scheduler.")
    more = {k for k in got if k not in expected and k not in filled and not k.startswith(blocks)}
    more -= {"train_batch_size", "bf16.enabled", "fp16.enabled"} | ADDED[recording["target"]]
    assert not more, f"DeepSpeed got what nobody said: {sorted(more)}"
    assert "auto" not in got.values()


@pytest.mark.parametrize("path", WITH_DEEPSPEED, ids=name)
def test_the_engine_is_what_the_spec_says(path: Path) -> None:
    recording = json.loads(path.read_text())
    spec, engine = spec_of(recording).spec, recording["engine"]
    numbers, layout = batch_numbers(spec), dims(spec)
    assert engine["train_micro_batch_size_per_gpu"] == numbers.micro
    assert engine["gradient_accumulation_steps"] == numbers.accumulation
    assert engine["gradient_clipping"] == spec.gradient_clipping
    assert engine["zero_stage"] == spec.zero.stage
    assert (engine["bf16"], engine["fp16"]) == (spec.precision.dtype == "bf16", False)
    assert (engine["autotp_size"] or 1) == layout.tp
    # DeepSpeed counts the ranks of a tp group as if each had samples of its own (DS006)
    assert numbers.micro is not None
    assert numbers.accumulation is not None
    assert layout.world_size is not None
    assert engine["train_batch_size"] == numbers.micro * numbers.accumulation * layout.world_size


def said(spec: Any) -> dict[str, Any]:
    """The DeepSpeed keys that the spec fixes, with their values."""
    keys = {ds_key_of(path): plain(value) for path, value in leaves(spec).items() if value is not AUTO}
    keys.pop(None, None)
    numbers = batch_numbers(spec)
    keys |= {key: getattr(numbers, word) for key, word in BATCH.items()}
    keys |= {"bf16.enabled": spec.precision.dtype == "bf16"}
    if dims(spec).tp > 1:
        keys["tensor_parallel.autotp_size"] = dims(spec).tp
    if spec.optimizer.owner == "deepspeed":
        for param in ("lr", "betas", "eps", "weight_decay"):
            keys[f"optimizer.params.{param}"] = plain(getattr(spec.optimizer, param))
    return {str(key): value for key, value in keys.items()}
