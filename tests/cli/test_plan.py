"""`dsbridge plan` as a user meets it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.conftest import ROOT

Run = Callable[..., Any]
SCHEMA = json.loads((ROOT / "docs" / "reference" / "schemas" / "plan.schema.json").read_text())
LLAMA = ("--model", "meta-llama/Llama-3.1-8B", "--gpu", "h100-80gb")
EIGHT = (*LLAMA, "--gpus", "8", "--sequence-length", "4096", "--global-batch", "64")


def planned(dsbridge: Run, *words: object) -> Any:
    outcome = dsbridge("plan", *words, "--format", "json")
    assert outcome.code == 0, outcome.err
    jsonschema.validate(outcome.json, SCHEMA)
    return outcome.json


def test_the_answer_follows_its_schema_and_adds_up(dsbridge: Run) -> None:
    found = planned(dsbridge, *EIGHT, "--all")
    assert found["model"]["parameters"] == {
        "total": 8030261248, "trainable": 8030261248, "frozen": 0, "active": 8030261248,
    }  # fmt: skip
    assert found["looked_at"] == len(found["layouts"]) or len(found["layouts"]) == 8
    for layout in found["layouts"]:
        for place in ("gpu", "host", "nvme"):
            parts = dict(layout["memory"][place])
            assert parts.pop("total") == sum(parts.values())
        low, high = layout["memory"]["gpu_range"]
        assert low <= layout["memory"]["gpu"]["total"] <= high
        room = found["cluster"]["gpu_memory"]
        assert layout["fits"] == (high <= room)
        batch, parallel = layout["spec"]["batch"], layout["spec"]["parallelism"]
        ranks = 8 // parallel["tp"] // parallel["ulysses"]
        assert batch["micro_per_gpu"] * batch["accumulation"] * ranks == 64


def test_the_best_is_a_spec_that_renders_and_plans_again(dsbridge: Run, tmp_path: Path) -> None:
    spec = tmp_path / "dsbridge.yaml"
    outcome = dsbridge("plan", *EIGHT, "--write", spec)
    assert outcome.code == 0
    assert f"wrote {spec}" in outcome.out
    best = planned(dsbridge, *EIGHT)["best"]
    assert yaml.safe_load(spec.read_text()) == best
    again = planned(dsbridge, spec)
    first = again["layouts"][0]
    assert first["given"]
    assert first["spec"]["zero"] == best["zero"]
    assert first["spec"]["batch"] == best["batch"]
    assert first["fits"]
    for target in ("trainer", "accelerate", "deepspeed"):
        assert dsbridge("render", spec, "--target", target).code == 0


@pytest.mark.parametrize(
    ("words", "problem", "hint"),
    [
        ((*LLAMA, "--gpus", "0"), "0 GPUs", "Give 1 or more"),
        ((*LLAMA, "--gpus", "9", "--nodes", "2"), "9 GPUs do not divide into 2 nodes", "--nodes"),
        ((*EIGHT, "--tp", "3"), "tp 3 cannot be trained", "Leave it out"),
        ((*EIGHT[:-4], "--sequence-length", "0"), "a sequence length of 0", "2048"),
        (("--model", "Llama-9", "--gpu", "h100", "--gpus", "8"), "'Llama-9'", "Did you mean"),
        (("--model", "Qwen2.5-7B", "--gpu", "h1000", "--gpus", "8"), "h1000", "h100"),
        (("--model", "Qwen2.5-7B", "--gpus", "8"), "no GPU is named", "--gpu"),
        (("--gpus", "8", "--gpu", "h100-80gb"), "no model is named", "--model"),
        ((*EIGHT, "--interconnect", "nvlink99"), "nvlink99", "nvlink"),
        ((*EIGHT, "--method", "lora", "--lora-rank", "0"), "rank", "whole number above 0"),
        (
            (*LLAMA, "--gpus", "8", "--global-batch", "7", "--tp", "1", "--ulysses", "1"),
            "no layout is left",
            "batch",
        ),
    ],
)
def test_what_makes_no_sense_is_told_with_what_would(
    dsbridge: Run, words: tuple[str, ...], problem: str, hint: str
) -> None:
    outcome = dsbridge("plan", *words)
    assert (outcome.code, outcome.out) == (2, "")
    assert problem in outcome.err
    assert hint in outcome.err
    assert "Traceback" not in outcome.err


def test_a_file_that_is_there_is_not_replaced(dsbridge: Run, tmp_path: Path) -> None:
    spec = tmp_path / "dsbridge.yaml"
    spec.write_text("mine: 1\n")
    assert dsbridge("plan", *EIGHT, "--write", spec).code == 2
    assert spec.read_text() == "mine: 1\n"
    assert dsbridge("plan", *EIGHT, "--write", spec, "--force").code == 0
    assert yaml.safe_load(spec.read_text())["version"] == 1


def test_a_spec_is_not_written_without_its_report(dsbridge: Run, tmp_path: Path) -> None:
    spec, report = tmp_path / "dsbridge.yaml", tmp_path / "report.html"
    report.write_text("mine")
    assert dsbridge("plan", *EIGHT, "--stage", "2", "--write", spec, "--html", report).code == 2
    assert not spec.exists()
    assert report.read_text() == "mine"


def test_no_spec_is_written_where_nothing_fits(dsbridge: Run, tmp_path: Path) -> None:
    spec = tmp_path / "dsbridge.yaml"
    words = ("--model", "Llama-3.1-70B", "--gpu", "a100-40gb", "--gpus", "1", "--sequence-length", "8192",
             "--offload-optimizer", "none", "--offload-param", "none")  # fmt: skip
    outcome = dsbridge("plan", *words, "--write", spec)
    assert outcome.code == 2
    assert "no layout fits" in outcome.err
    assert not spec.exists()
    told = dsbridge("plan", *words)
    assert told.code == 0
    assert "No layout fits" in told.out
    assert planned(dsbridge, *words)["best"] is None


def test_the_users_own_files_come_first(dsbridge: Run, in_root: Path) -> None:
    found = planned(dsbridge, "examples/zero2-lora/dsbridge.yaml", "--gpu", "a100-80gb")
    assert found["layouts"][0]["given"]
    assert found["layouts"][0]["spec"]["zero"]["stage"] == 2


def test_every_part_is_explained(dsbridge: Run) -> None:
    outcome = dsbridge("plan", *EIGHT, "--explain")
    assert "part by part" in outcome.out
    assert "runtime/zero/" in outcome.out


def test_like_deepspeed_is_what_its_guide_prints(dsbridge: Run) -> None:
    words = ("--model", "Llama-3.1-8B", "--gpus", "8", "--like", "deepspeed")
    outcome = dsbridge("plan", *words)
    assert outcome.code == 0
    assert "18.78GB" in outcome.out
    rows = dsbridge("plan", *words, "--format", "json").json["estimates"]
    assert any(row["gpu"] == 2 * 8030261248 + 18 * 8030261248 // 8 for row in rows)


def test_a_bare_config_with_auto_is_weighed_as_it_says(dsbridge: Run, tmp_path: Path) -> None:
    config = tmp_path / "ds_config.json"
    config.write_text(
        json.dumps(
            {
                "train_batch_size": "auto",
                "train_micro_batch_size_per_gpu": "auto",
                "gradient_accumulation_steps": "auto",
                "bf16": {"enabled": "auto"},
                "zero_optimization": {"stage": 3, "reduce_bucket_size": "auto"},
            }
        )
    )
    words = (config, "--model", "Qwen2.5-7B", "--gpus", "8", "--gpu", "h100-80gb")
    found = planned(dsbridge, *words, "--micro-batch", "2", "--global-batch", "64")
    first = found["layouts"][0]
    assert first["given"]
    assert first["spec"]["zero"]["stage"] == 3
    assert first["spec"]["batch"] == {"micro_per_gpu": 2, "accumulation": 4}
    assumed = planned(dsbridge, *words)
    assert assumed["layouts"][0]["spec"]["batch"]["micro_per_gpu"] == 1
    assert any("a micro batch of 1 is assumed" in d["message"] for d in assumed["diagnostics"])


def test_what_llamafactory_does_unasked_is_in_its_layout(dsbridge: Run, tmp_path: Path) -> None:
    auto = {"train_micro_batch_size_per_gpu": "auto", "gradient_accumulation_steps": "auto"}
    ds = {**auto, "zero_optimization": {"stage": 2}, "bf16": {"enabled": "auto"}}
    (tmp_path / "ds.json").write_text(json.dumps(ds))
    config = tmp_path / "train.yaml"
    config.write_text(
        "model_name_or_path: meta-llama/Meta-Llama-3-8B\nstage: sft\ndo_train: true\nfinetuning_type: full\n"
        "deepspeed: ds.json\ndataset: alpaca\ntemplate: llama3\ncutoff_len: 4096\noutput_dir: out\n"
        "per_device_train_batch_size: 2\ngradient_accumulation_steps: 4\nbf16: true\n"
    )
    words = (config, "--gpus", "8", "--gpu", "a100-80gb")
    found = planned(dsbridge, *words)
    first = found["layouts"][0]
    assert first["spec"]["training"]["gradient_checkpointing"]
    assert first["spec"]["batch"] == {"micro_per_gpu": 2, "accumulation": 4}
    assert found["job"]["sequence_length"] == 4096
    assert found["job"]["global_batch"] == 64
    assert found["job"]["loss"] == "hf"
    config.write_text(
        config.read_text() + "enable_liger_kernel: true\ndisable_gradient_checkpointing: true\n"
    )
    other = planned(dsbridge, *words)
    assert other["job"]["loss"] == "fused"
    assert not other["layouts"][0]["spec"]["training"]["gradient_checkpointing"]


def test_a_framework_trains_no_layout_that_it_refuses(dsbridge: Run) -> None:
    found = planned(dsbridge, *EIGHT, "--target", "llamafactory", "--all")
    assert all(layout["spec"]["parallelism"]["ulysses"] == 1 for layout in found["layouts"])
    assert any("llamafactory" in one["why"] for one in found["ruled_out"])


def test_fsdp_is_not_taken_for_a_stage(dsbridge: Run, in_root: Path) -> None:
    found = planned(dsbridge, "examples/fsdp2/dsbridge.yaml", "--gpu", "h100-80gb")
    assert not any(layout["given"] for layout in found["layouts"])
    assert any("it shards with FSDP" in d["message"] for d in found["diagnostics"])
    assert found["job"]["global_batch"] == 64


def test_more_gpus_than_a_command_starts_are_of_one_node(dsbridge: Run, in_root: Path) -> None:
    command = (
        "xtuner",
        "train",
        "conformance/scripts/xtuner_tiny_config.py",
        "--deepspeed",
        "deepspeed_zero2",
    )
    words = ("--model", "Qwen2.5-1.5B", "--gpus", "4", "--gpu", "a100-80gb", "--format", "json", "--")
    outcome = dsbridge("plan", *words, *command)
    assert outcome.code == 0, outcome.err
    assert (outcome.json["cluster"]["nodes"], outcome.json["cluster"]["gpus_per_node"]) == (1, 4)
    assert outcome.json["layouts"][0]["given"]


def test_preference_training_is_not_weighed_as_plain(dsbridge: Run, tmp_path: Path) -> None:
    ds = {
        "train_micro_batch_size_per_gpu": "auto",
        "zero_optimization": {"stage": 2},
        "bf16": {"enabled": "auto"},
    }
    (tmp_path / "ds.json").write_text(json.dumps(ds))
    config = tmp_path / "train.yaml"
    config.write_text(
        "model_name_or_path: meta-llama/Meta-Llama-3-8B\nstage: dpo\ndo_train: true\nfinetuning_type: full\n"
        "deepspeed: ds.json\ndataset: pairs\ntemplate: llama3\noutput_dir: out\nbf16: true\n"
    )
    found = planned(dsbridge, config, "--gpus", "8", "--gpu", "a100-80gb")
    assert not any(layout["given"] for layout in found["layouts"])
    assert any(d["code"] == "PN004" and "stage: dpo" in d["message"] for d in found["diagnostics"])


def test_every_other_layer_goes_into_the_spec_and_comes_back(dsbridge: Run, tmp_path: Path) -> None:
    spec = tmp_path / "dsbridge.yaml"
    outcome = dsbridge("plan", *EIGHT, "--checkpoint-every", "2", "--write", spec)
    assert outcome.code == 0
    assert "PN005" in outcome.err + outcome.out
    told = {"trainer": {"gradient_checkpointing_kwargs": {"every_n_layers": 2}}}
    assert yaml.safe_load(spec.read_text())["frameworks"] == told
    rendered = dsbridge("render", spec, "--target", "trainer", "-o", tmp_path / "out")
    assert rendered.code == 0, rendered.err
    given = planned(dsbridge, spec)["layouts"][0]
    assert given["given"]
    assert given["spec"]["frameworks"] == told
    full = planned(dsbridge, *EIGHT, "--checkpoint-every", "1")["layouts"][0]
    assert "frameworks" not in full["spec"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--checkpoint-every", "33"), "the model has 32 layers, not 33"),
        (("--checkpoint-every", "2", "--versions", "transformers=5.6.0"), "came with Transformers 5.16"),
        (("--checkpoint-every", "2", "--target", "xtuner"), "it checkpoints every layer, or none"),
        (("--checkpoint-every", "2", "--no-checkpointing"), "contradict"),
    ],
)
def test_what_cannot_checkpoint_some_layers_says_so(dsbridge: Run, words: tuple[str, ...], why: str) -> None:
    outcome = dsbridge("plan", *EIGHT, *words)
    assert outcome.code == 2
    assert why in outcome.err


def test_the_trainers_own_key_is_read(dsbridge: Run, tmp_path: Path) -> None:
    auto = {"train_micro_batch_size_per_gpu": "auto", "gradient_accumulation_steps": "auto"}
    (tmp_path / "ds.json").write_text(json.dumps({**auto, "zero_optimization": {"stage": 2}}))
    args: dict[str, Any] = {"output_dir": "out", "deepspeed": "ds.json", "bf16": True,
                            "per_device_train_batch_size": 2, "gradient_checkpointing": True,
                            "gradient_checkpointing_kwargs": {"every_n_layers": 4}}  # fmt: skip
    (tmp_path / "args.json").write_text(json.dumps(args))
    words = (tmp_path / "args.json", "--target", "trainer", *LLAMA, "--gpus", "8")
    first = planned(dsbridge, *words)["layouts"][0]
    assert first["given"]
    assert first["spec"]["frameworks"]["trainer"]["gradient_checkpointing_kwargs"] == {"every_n_layers": 4}


def test_llamafactorys_kind_of_checkpointing_is_that_of_its_dialect(dsbridge: Run, tmp_path: Path) -> None:
    auto = {"train_micro_batch_size_per_gpu": "auto", "gradient_accumulation_steps": "auto"}
    (tmp_path / "ds.json").write_text(json.dumps({**auto, "zero_optimization": {"stage": 2}}))
    (tmp_path / "v1.yaml").write_text(
        "model: meta-llama/Llama-3.1-8B\ntrain_dataset: a.yaml\noutput_dir: out\nmicro_batch_size: 1\n"
        "enable_activation_checkpointing: true\ndist_config: {name: deepspeed, config_file: ds.json}\n"
    )
    (tmp_path / "v0.yaml").write_text(
        "model_name_or_path: meta-llama/Llama-3.1-8B\nstage: sft\ndo_train: true\nfinetuning_type: full\n"
        "deepspeed: ds.json\ndataset: a\ntemplate: llama3\noutput_dir: out\nbf16: true\n"
        "per_device_train_batch_size: 1\n"
    )
    asked = (*LLAMA, "--gpus", "8", "--method", "lora", "--sequence-length", "1000", "--checkpointing")
    for name, kept in (("v1.yaml", 32), ("v0.yaml", 33)):
        words = ("USE_V1=1", "llamafactory-cli", "train", tmp_path / name)
        command = words if name == "v1.yaml" else words[1:]
        outcome = dsbridge("plan", *asked, "--format", "json", "--", *command)
        assert outcome.code == 0, outcome.err
        found = outcome.json
        held = [one for one in found["layouts"] if "checkpoints" in one["memory"]["gpu"]]
        assert held
        for one in held:
            micro = one["spec"]["batch"]["micro_per_gpu"] / one["spec"]["parallelism"]["ulysses"]
            assert one["memory"]["gpu"]["checkpoints"] == kept * 2 * 4096 * 1000 * micro


def test_what_keeps_4_bit_weights_unpacked_is_told(dsbridge: Run) -> None:
    asked = ("plan", *EIGHT, "--method", "qlora", "--target")
    assert "use_reentrant: true" in dsbridge(*asked, "trainer").err
    assert "use_reentrant" not in dsbridge(*asked, "llamafactory").err


@pytest.mark.parametrize(
    ("versions", "kwargs", "kept"),
    [
        ("transformers=5.23.0", None, 32),
        ("transformers=5.23.0", {"use_reentrant": True}, 33),
        ("transformers=4.51.3", None, 33),
        ("transformers=4.51.3", {"use_reentrant": False}, 32),
    ],
)
def test_the_kind_of_checkpointing_is_the_frameworks(
    dsbridge: Run, tmp_path: Path, versions: str, kwargs: dict[str, bool] | None, kept: int
) -> None:
    """A reentrant one has a hidden state more."""
    auto = {"train_micro_batch_size_per_gpu": "auto", "gradient_accumulation_steps": "auto"}
    (tmp_path / "ds.json").write_text(json.dumps({**auto, "zero_optimization": {"stage": 2}}))
    args: dict[str, Any] = {"output_dir": "out", "deepspeed": "ds.json", "bf16": True,
                            "per_device_train_batch_size": 1, "gradient_checkpointing": True}  # fmt: skip
    if kwargs:
        args["gradient_checkpointing_kwargs"] = kwargs
    (tmp_path / "args.json").write_text(json.dumps(args))
    words = (
        tmp_path / "args.json",
        "--target",
        "trainer",
        *LLAMA,
        "--gpus",
        "8",
        "--sequence-length",
        "1000",
    )
    given = planned(dsbridge, *words, "--method", "lora", "--versions", versions)["layouts"][0]
    assert given["given"]
    assert given["memory"]["gpu"]["checkpoints"] == kept * 2 * 4096 * 1000
