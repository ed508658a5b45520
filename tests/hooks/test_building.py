"""What a spec becomes inside a program."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from dsbridge import load
from dsbridge.diagnostics import InputError
from dsbridge.hooks.accelerating import settings
from dsbridge.hooks.arguments import training_arguments
from dsbridge.hooks.building import KeywordWarning, with_ranks
from tests.conftest import ROOT

SPEC = ROOT / "examples" / "hooks" / "trainer" / "dsbridge.yaml"


def test_arguments_are_those_that_render_writes_with_the_config_in_them() -> None:
    made = training_arguments(SPEC, cls=dict, report_to="none")
    assert made["max_grad_norm"] == 1.0
    assert (made["per_device_train_batch_size"], made["gradient_accumulation_steps"]) == (2, 2)
    assert made["deepspeed"]["zero_optimization"]["stage"] == 2
    assert made["report_to"] == "none"


def test_a_keyword_wins_and_one_that_contradicts_is_told() -> None:
    with pytest.warns(
        KeywordWarning, match=r"max_grad_norm=0.3 wins over .*dsbridge.yaml, .*max_grad_norm=1.0"
    ):
        made = training_arguments(SPEC, cls=dict, max_grad_norm=0.3)
    assert made["max_grad_norm"] == 0.3


def test_the_same_value_again_is_no_contradiction() -> None:
    assert training_arguments(SPEC, cls=dict, max_grad_norm=1.0)["max_grad_norm"] == 1.0


def test_what_the_launch_would_export_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FSDP_SHARDING_STRATEGY", raising=False)
    spec = {"version": 1, "fsdp": {"version": 1, "sharding": "shard_grad_op"}}
    made = training_arguments(spec, cls=dict, output_dir="out")
    assert os.environ["FSDP_SHARDING_STRATEGY"] == "SHARD_GRAD_OP"
    assert "deepspeed" not in made
    monkeypatch.setenv("FSDP_SHARDING_STRATEGY", "FULL_SHARD")
    training_arguments(spec, cls=dict, output_dir="out")
    assert os.environ["FSDP_SHARDING_STRATEGY"] == "FULL_SHARD"


def test_what_the_trainer_refuses_is_refused() -> None:
    with pytest.raises(InputError):
        training_arguments({"version": 1, "zero": {"stage": 3}, "parallelism": {"tp": 2}}, cls=dict)


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("examples/hooks/*/dsbridge.yaml")), ids=lambda p: p.parent.name
)
def test_an_accelerator_has_the_whole_config_and_the_accumulation(path: Path) -> None:
    ours, plugin = settings(load(path))
    assert ours["gradient_accumulation_steps"] == 2
    config: Any = plugin["hf_ds_config"]
    assert config["zero_optimization"]["stage"] == 2
    assert config["gradient_clipping"] == 1.0
    assert config["bf16"] == {"enabled": True}


def test_ranks_are_the_runs_where_the_spec_names_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    spec = {"version": 1, "zero": {"stage": 1}, "batch": {"global": 64, "micro_per_gpu": 2}}
    assert training_arguments(spec, cls=dict, output_dir="out")["gradient_accumulation_steps"] == 4
    assert settings(with_ranks(load(spec)))[0]["gradient_accumulation_steps"] == 4
    spec["cluster"] = {"nodes": 1, "gpus_per_node": 2}
    assert training_arguments(spec, cls=dict, output_dir="out")["gradient_accumulation_steps"] == 16


def test_zero_init_is_the_plugins() -> None:
    loaded = load({"version": 1, "zero": {"stage": 3, "init_on_load": False}, "batch": {"micro_per_gpu": 1}})
    assert settings(with_ranks(loaded))[1]["zero3_init_flag"] is False


@pytest.mark.parametrize(
    "more",
    [{"fsdp": {}}, {"zero": {"stage": 1}, "parallelism": {"ulysses": 2}}, {}],
    ids=["fsdp", "ulysses", "none"],
)
def test_what_only_the_launcher_sets_up_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="HK001"):
        settings(load({"version": 1, "cluster": {"gpus_per_node": 2}, **more}))
