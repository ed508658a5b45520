"""explain as a user calls it: text, JSON, facts, a spec, and what the exit code says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
CONFIG = {
    "train_batch_size": "auto",
    "train_micro_batch_size_per_gpu": "auto",
    "gradient_clipping": 0.3,
    "bf16": {"enabled": "auto"},
    "zero_optimization": {"stage": 3, "reduce_bucket_size": "auto", "overlap_comm": True},
}
SCRIPT = """
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

args = TrainingArguments(output_dir="out", deepspeed="ds.json", bf16=True, max_grad_norm={clip})
model = AutoModelForCausalLM.from_pretrained("model")
Trainer(model, args, train_dataset=data).train()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Trainer script that agrees with its DeepSpeed config."""
    (tmp_path / "ds.json").write_text(json.dumps(CONFIG, indent=1))
    (tmp_path / "train.py").write_text(SCRIPT.format(clip=0.3))
    monkeypatch.chdir(tmp_path)
    return tmp_path


COMMAND = ("--", "torchrun", "--nproc_per_node", "4", "train.py")
SIZE = ("--fact", "hidden_size=64")


def test_the_config_that_deepspeed_gets(folder: Path, dsbridge: Run) -> None:
    outcome = dsbridge("explain", *SIZE, "--format", "json", *COMMAND)
    assert (outcome.code, outcome.err) == (0, "")
    found = outcome.json
    assert found["framework"] == "trainer"
    assert found["world_size"] == 4
    assert found["config"]["train_batch_size"] == 32
    assert found["config"]["zero_optimization"]["reduce_bucket_size"] == 4096
    assert found["config"]["steps_per_print"] == "Infinity"
    assert found["unknown"] == {}
    story = {row["path"]: row for row in found["fields"]}
    assert story["gradient_clipping"]["status"] == "kept"
    assert story["gradient_clipping"]["source"] == {"file": "ds.json", "line": 4, "key": "gradient_clipping"}
    assert story["train_batch_size"]["requested"] == "auto"
    assert story["train_batch_size"]["status"] == "filled"
    assert found["batch"] == {
        "micro_per_gpu": 8,
        "accumulation": 1,
        "data_parallel": 4,
        "global": 32,
        "reported_by_deepspeed": 32,
    }


def test_a_missing_fact_is_named_with_its_flag(folder: Path, dsbridge: Run) -> None:
    outcome = dsbridge("explain", *COMMAND)
    assert outcome.code == 0
    assert "unresolved: depends on what is not known yet" in outcome.out
    assert '"auto" -> ? (model.hidden_size)' in outcome.out
    assert "EX002 needs-verification: `zero_optimization.reduce_bucket_size`" in outcome.err
    assert "--model PATH" in outcome.err
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text('{"hidden_size": 64}')
    assert "EX002" not in dsbridge("explain", *COMMAND).err, "the script's own model is looked at"


def test_a_models_config_can_be_named(folder: Path, dsbridge: Run) -> None:
    (folder / "m.json").write_text('{"hidden_size": 128}')
    found = dsbridge("explain", "--model", "m.json", "--format", "json", *COMMAND).json
    assert found["config"]["zero_optimization"]["reduce_bucket_size"] == 128 * 128


def test_a_model_of_the_catalogue_can_be_named(folder: Path, dsbridge: Run) -> None:
    found = dsbridge("explain", "--model", "meta-llama/Llama-3.1-8B", "--format", "json", *COMMAND).json
    assert found["config"]["zero_optimization"]["reduce_bucket_size"] == 4096 * 4096


def test_a_refusal_is_exit_code_1_with_the_fields_at_fault(folder: Path, dsbridge: Run) -> None:
    (folder / "train.py").write_text(SCRIPT.format(clip=1.0))
    outcome = dsbridge("explain", *SIZE, *COMMAND)
    assert outcome.code == 1
    assert "stops with ValueError" in outcome.out
    assert "- ds gradient_clipping=0.3 vs hf max_grad_norm=1.0" in outcome.out
    assert "refused: at fault for the error above" in outcome.out
    found = dsbridge("explain", *SIZE, "--format", "json", *COMMAND).json
    assert found["outcome"] == "refused"
    assert found["error"]["type"] == "ValueError"
    assert any("gradient_clipping" in field for field in found["error"]["fields"])


def test_older_versions_are_another_world(folder: Path, dsbridge: Run) -> None:
    config = {key: value for key, value in CONFIG.items() if key != "gradient_clipping"}
    (folder / "ds.json").write_text(json.dumps(config))
    story = "--field", "gradient_clipping"
    assert "gradient_clipping = 1.0" in dsbridge("explain", *SIZE, *story, *COMMAND).out
    old = dsbridge("explain", *SIZE, *story, "--versions", "deepspeed=0.18.4", *COMMAND)
    assert "gradient_clipping = 0.0" in old.out
    newer = dsbridge("explain", *SIZE, "--versions", "deepspeed=9.9", *COMMAND)
    assert "EX001 version-not-verified: not verified for deepspeed 9.9" in newer.err


def test_hardware_without_bf16(folder: Path, dsbridge: Run) -> None:
    outcome = dsbridge("explain", *SIZE, "--no-bf16", *COMMAND)
    assert outcome.code == 1
    assert "bf16" in outcome.out
    assert dsbridge("explain", *SIZE, "--gpu", "V100-32GB", *COMMAND).code == 1
    assert dsbridge("explain", *SIZE, "--gpu", "H100", *COMMAND).code == 0


def test_files_alone_do_not_say_how_many_ranks(folder: Path, dsbridge: Run) -> None:
    outcome = dsbridge("explain", "train.py", "--format", "json", *SIZE)
    assert outcome.json["world_size"] is None
    assert "world_size" in outcome.json["unknown"]["train_batch_size"]
    known = dsbridge("explain", "train.py", "--format", "json", "--world-size", "2", *SIZE)
    assert known.json["config"]["train_batch_size"] == 16


def test_all_shows_deepspeeds_own_defaults(folder: Path, dsbridge: Run) -> None:
    few = dsbridge("explain", *SIZE, *COMMAND).out
    every = dsbridge("explain", "--all", *SIZE, *COMMAND).out
    assert "DeepSpeed's own defaults" in every
    assert "zero_optimization.allgather_bucket_size" in every
    assert "allgather_bucket_size" not in few
    assert "nothing_like_it: not in the effective config" in dsbridge(
        "explain", "--field", "nothing_like_it", *SIZE, *COMMAND
    ).out  # fmt: skip


@pytest.mark.parametrize("target", ["accelerate", "deepspeed", "llamafactory", "trainer", "xtuner"])
def test_a_spec_is_rendered_and_explained(target: str, in_root: Path, dsbridge: Run) -> None:
    outcome = dsbridge(
        "explain", "examples/qlora-zero2-xtuner/dsbridge.yaml", "-t", target, "--format", "json"
    )
    assert outcome.code == 0
    assert outcome.json["framework"] == target
    assert outcome.json["config"]["zero_optimization"]["stage"] == 2
    assert outcome.json["batch"]["global"] == 32


def test_a_spec_that_the_target_refuses(in_root: Path, dsbridge: Run) -> None:
    outcome = dsbridge("explain", "examples/autotp-zero1-llamafactory/dsbridge.yaml", "-t", "xtuner")
    assert outcome.code == 2
    assert "XT006 no-autotp" in outcome.err


def test_nothing_is_run(folder: Path, dsbridge: Run) -> None:
    (folder / "train.py").write_text(SCRIPT.format(clip=0.3) + "\nopen('made', 'w').write('x')\n")
    assert dsbridge("explain", *SIZE, *COMMAND).code == 0
    assert not (folder / "made").exists()
