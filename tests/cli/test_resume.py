"""`dsbridge check --resume CKPT`: every format, every kind of input, and never a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from dsbridge.checking.settings import forget
from tests.checkpoints.making import checkpoint, saved
from tests.meta.test_docs import schema

DS = {"zero_optimization": {"stage": 2}, "bf16": {"enabled": True}, "train_micro_batch_size_per_gpu": 1}
RUN = ("ds.json", "--world-size")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a config and a checkpoint of two ranks."""
    monkeypatch.chdir(tmp_path)
    forget()
    (tmp_path / "ds.json").write_text(json.dumps(DS))
    checkpoint(tmp_path / "ckpt")
    return tmp_path


def codes(outcome: Any) -> list[str]:
    return [d["code"] for d in outcome.json["diagnostics"] if d["code"].startswith("CK7")]


def test_it_loads_and_says_so(here: Path, dsbridge: Callable[..., Any]) -> None:
    outcome = dsbridge("check", "--resume", "ckpt", *RUN, "2")
    assert outcome.code == 0
    assert (
        "info CK750 resume-loads: ckpt, global_step7: weights, optimizer and counters after step 7"
        in outcome.out
    )


def test_another_number_of_ranks(here: Path, dsbridge: Callable[..., Any]) -> None:
    outcome = dsbridge("check", "--resume", "ckpt", *RUN, "8")
    assert outcome.code == 1
    assert "error CK710 other-world-size" in outcome.out
    assert "--output_folder global_step7_universal --inject_missing_state" in outcome.out


def test_a_name_with_a_space_is_quoted(here: Path, dsbridge: Callable[..., Any]) -> None:
    (here / "ckpt").rename(here / "my ckpt")
    assert "cd 'my ckpt' && python -m" in dsbridge("check", "--resume", "my ckpt", *RUN, "8").out


def test_a_missing_fact_is_named(here: Path, dsbridge: Callable[..., Any]) -> None:
    outcome = dsbridge("check", "--resume", "ckpt", "ds.json")
    assert outcome.code == 0
    assert "info CK740 resume-unknown: how many ranks the run has is not known" in outcome.out
    assert "--world-size N" in outcome.out


@pytest.mark.parametrize("format_", ["json", "sarif", "github"])
def test_formats(here: Path, dsbridge: Callable[..., Any], format_: str) -> None:
    outcome = dsbridge("check", "--resume", "ckpt", *RUN, "4", "--format", format_)
    assert outcome.code == 1
    assert "CK710" in outcome.out
    if format_ == "json":
        jsonschema.validate(outcome.json, schema("check"))
        assert codes(outcome) == ["CK710"]
    if format_ == "sarif":
        rules = outcome.json["runs"][0]["tool"]["driver"]["rules"]
        assert next(rule for rule in rules if rule["id"] == "CK710")["name"] == "OtherWorldSize"


@pytest.mark.parametrize("name", ["absent", "ds.json", ".", "ckpt/global_step7/mp_rank_00_model_states.pt"])
def test_what_is_no_checkpoint(here: Path, dsbridge: Callable[..., Any], name: str) -> None:
    (here / "ckpt").rename(here.parent / f"{here.name}-away") if name == "." else None
    outcome = dsbridge("check", "--resume", name, *RUN, "2", "--format", "json")
    assert outcome.code == 1
    assert codes(outcome) == ["CK700"]


def test_the_folder_of_a_run_names_its_last_checkpoint(here: Path, dsbridge: Callable[..., Any]) -> None:
    for step in (5, 10):
        checkpoint(here / "out" / f"checkpoint-{step}")
    outcome = dsbridge("check", "--resume", "out", *RUN, "2")
    assert "Name one: --resume out/checkpoint-10" in outcome.out


def test_hostile_and_broken_files(here: Path, dsbridge: Callable[..., Any]) -> None:
    tag = here / "ckpt" / "global_step7"
    (tag / "mp_rank_00_model_states.pt").write_bytes(b"\x80\x02" + b"]" * 5000)
    outcome = dsbridge("check", "--resume", "ckpt", *RUN, "2", "--format", "json")
    assert "CK741" in codes(outcome)
    shard = tag / "bf16_zero_pp_rank_1_mp_rank_00_optim_states.pt"
    shard.write_bytes(shard.read_bytes()[:-30])
    outcome = dsbridge("check", "--resume", "ckpt", *RUN, "2", "--format", "json")
    assert outcome.code == 1
    assert "CK701" in codes(outcome)


def test_a_rank_too_many_by_far(here: Path, dsbridge: Callable[..., Any]) -> None:
    tag = here / "ckpt" / "global_step7"
    saved(tag / "mp_rank_00_model_states.pt", {"dp_world_size": 2**30, "mp_world_size": 2**30})
    outcome = dsbridge("check", "--resume", "ckpt", *RUN, "2", "--format", "json")
    assert outcome.code == 1


def test_several_runs_are_refused(here: Path, dsbridge: Callable[..., Any]) -> None:
    (here / "other.json").write_text(json.dumps(DS))
    outcome = dsbridge("check", "--resume", "ckpt", "--each", "ds.json", "other.json")
    assert outcome.code == 2
    assert "IN042" in outcome.err


def test_llamafactory_that_starts_again(here: Path, dsbridge: Callable[..., Any]) -> None:
    lines = ["model_name_or_path: m", "stage: sft", "do_train: true", "finetuning_type: full", "dataset: d",
             "template: qwen", "output_dir: out", "deepspeed: ds.json", "bf16: true"]  # fmt: skip
    (here / "train.yaml").write_text("\n".join([*lines, "overwrite_output_dir: true"]))
    checkpoint(here / "out" / "checkpoint-7")
    (here / "out" / "checkpoint-7" / "trainer_state.json").write_text('{"global_step": 7}')
    given = ("check", "--resume", "out/checkpoint-7", "train.yaml", "--world-size", "2", "--format", "json")
    given = (*given, "--versions", "llamafactory=0.9.3,transformers=4.52.4,accelerate=1.7.0,deepspeed=0.16.9")
    assert "CK733" in codes(dsbridge(*given))
    (here / "train.yaml").write_text("\n".join([*lines, "resume_from_checkpoint: out/checkpoint-7"]))
    assert "CK733" not in codes(dsbridge(*given))
    (here / "train.yaml").write_text("\n".join([*lines, "resume_from_checkpoint: out/checkpoint-6"]))
    assert "CK733" in codes(dsbridge(*given))
    (here / "train.yaml").write_text("\n".join(lines))  # the last one of output_dir
    assert "CK733" not in codes(dsbridge(*given))
