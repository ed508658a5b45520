"""A `scheduler` block in the spec's words and back, and in the words of frameworks without one."""

from __future__ import annotations

import json
from math import log
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsbridge.explaining import explain
from dsbridge.migrating import Migration, migrate
from dsbridge.parsing import Parsed, parse
from dsbridge.reading import Files
from dsbridge.rendering import render
from dsbridge.spec.leaves import leaves
from tests.conftest import ROOT
from tests.test_migrating import TRAINER, XTUNER

CURVES = ROOT / "tests" / "recorded" / "curves"
WARMUP = {"warmup_min_lr": 0, "warmup_max_lr": 1e-3, "warmup_num_steps": 10}
CONFIG: dict[str, Any] = {
    "train_micro_batch_size_per_gpu": 2,
    "gradient_accumulation_steps": 2,
    "gradient_clipping": 1.0,
    "bf16": {"enabled": True},
    "optimizer": {"type": "AdamW", "params": {"lr": 1e-3}},
    "zero_optimization": {"stage": 2},
}
AUTO = {"warmup_min_lr": "auto", "warmup_max_lr": "auto", "warmup_num_steps": "auto"}
SETS = (*XTUNER, "cluster.gpus_per_node=8", "training.epochs=2")


def with_block(kind: str, params: Any, **more: Any) -> dict[str, Any]:
    return {**CONFIG, **more, "scheduler": {"type": kind, "params": params}}


def parsed(config: dict[str, Any]) -> Parsed:
    return parse(Files(Path(), {"ds.json": json.dumps(config)}), ["ds.json"])


def said(found: Parsed) -> dict[str, Any]:
    rows = leaves(found.loaded.spec).items()
    return {path.removeprefix("scheduler."): v for path, v in rows if path.startswith("scheduler.")}


def rates(name: str, env: str = "hf") -> list[float]:
    recorded: dict[str, Any] = json.loads((CURVES / f"{env}.json").read_text(encoding="utf-8"))
    found: list[float] = recorded["curves"][name]
    return found


# -- what DeepSpeed computes, recorded ---------------------------------------------------------------


@pytest.mark.parametrize("env", ["hf", "hf-old", "xtuner"])
def test_warm_up_is_logarithmic_unless_told_and_starts_a_step_late(env: str) -> None:
    warm = rates("deepspeed/warmup-log", env)
    assert warm[:6] == pytest.approx([0, 0, log(2) / log(4), log(3) / log(4), 1, 1])
    for ours, theirs in (("warmup-linear", "constant_with_warmup"), ("decay-linear", "linear")):
        late = rates(f"deepspeed/{ours}", env)
        assert late[1:] == pytest.approx(rates(f"transformers/{theirs}", env)[:-1])
    assert rates("deepspeed/warmup-one-step", env)[2:4] == [0.5, 1]  # never fewer than two


def test_behind_the_warm_up_the_cosine_is_on_time() -> None:
    for ours, theirs in (("cosine-linear", "cosine"), ("cosine-end", "cosine_with_min_lr")):
        assert rates(f"deepspeed/{ours}")[5:10] == pytest.approx(
            rates(f"transformers/{theirs}")[5:10], abs=1e-4
        )
    assert rates("deepspeed/cosine-log")[11] == pytest.approx(1e-4)  # the end, where the block does not say


def test_what_xtuner_gets_is_a_step_or_two_apart() -> None:
    theirs, ours = rates("mmengine/linear", "xtuner"), rates("deepspeed/decay-linear", "xtuner")
    assert all(b <= a + 1e-3 for a, b in zip(theirs[:4], ours[:4], strict=True))
    assert max(theirs) == pytest.approx(max(ours))


# -- parse and render ---------------------------------------------------------------------------------

BLOCKS = [
    ("WarmupLR", WARMUP, {"type": "constant_with_warmup", "warmup_type": "log", "warmup_steps": 10}),
    ("WarmupLR", {**WARMUP, "warmup_max_lr": 2e-3}, {"peak_lr": 2e-3, "warmup_type": "log"}),
    ("WarmupLR", {**WARMUP, "warmup_min_lr": 1e-5, "warmup_type": "linear"},
     {"warmup_min_lr": 1e-5, "warmup_type": "linear"}),
    ("WarmupDecayLR", {**WARMUP, "total_num_steps": 90}, {"type": "linear"}),
    ("WarmupCosineLR", {"total_num_steps": 90, "warmup_num_steps": 9, "cos_min_ratio": 0.0},
     {"type": "cosine"}),
    ("WarmupCosineLR", {"total_num_steps": 90, "warmup_num_steps": 9},
     {"type": "cosine_with_min_lr", "min_lr_ratio": 0.0001}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "params", "expected"), BLOCKS)
def test_a_block_is_claimed_and_comes_back(kind: str, params: Any, expected: Any) -> None:
    found = parsed(with_block(kind, params))
    assert said(found).items() >= {**expected, "owner": "deepspeed"}.items()
    assert not found.kept
    again = json.loads(render(found.loaded, "deepspeed").files["ds_config.json"])["scheduler"]
    default = {"cos_min_ratio": 0.0001} if kind == "WarmupCosineLR" else {}
    assert again == {"type": kind, "params": {**default, **params}}


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("WarmupLR", AUTO),  # nobody fills it
        ("WarmupLR", {"warmup_num_steps": 10}),  # the peak depends on the version
        ("WarmupLR", {**WARMUP, "warmup_num_steps": 0}),
        ("WarmupLR", {**WARMUP, "warmup_max_lr": [1e-3]}),
        ("WarmupLR", {**WARMUP, "warmup_type": "cubic"}),
        ("WarmupLR", {**WARMUP, "last_batch_iteration": 5}),
        ("WarmupDecayLR", WARMUP),
        ("WarmupCosineLR", {"total_num_steps": 90, "warmup_num_steps": 9, "warmup_min_ratio": 0.1}),
        ("OneCycle", {"cycle_min_lr": 0}),
        ("WarmupLR", None),
        (7, {}),
    ],
)
def test_what_the_spec_cannot_say_is_kept_word_for_word(kind: Any, params: Any) -> None:
    found = parsed(with_block(kind, params))
    assert said(found) == {}
    assert found.loaded.document.value["deepspeed"]["scheduler"] == {"type": kind, "params": params}


NUMBERS = st.one_of(
    st.integers(-1, 20),
    st.floats(0, 1, allow_nan=False),
    st.booleans(),
    st.just("auto"),
    st.none(),
    st.just([1]),
)
NAMES = (*WARMUP, "total_num_steps", "cos_min_ratio", "warmup_min_ratio", "warmup_type", "x")


@given(
    st.sampled_from(["WarmupLR", "WarmupDecayLR", "WarmupCosineLR"]),
    st.dictionaries(st.sampled_from(NAMES), NUMBERS | st.sampled_from(["log", "linear"])),
)
def test_any_block_is_the_same_behind_parse_and_render(kind: str, params: dict[str, Any]) -> None:
    config = with_block(kind, params)
    found = parsed(config)
    artifacts = render(found.loaded, "deepspeed")
    if not artifacts.refused:
        again = json.loads(artifacts.files["ds_config.json"])["scheduler"]
        assert again["type"] == kind
        defaults = {"cos_min_ratio": 0.0001, "warmup_type": "log", "warmup_min_lr": 0, "warmup_min_ratio": 0}
        differ = {k for k in {**again["params"], **params} if again["params"].get(k) != params.get(k)}
        assert all(again["params"].get(k, defaults.get(k)) == params.get(k, defaults.get(k)) for k in differ)


def test_the_trainers_block_is_filled_from_its_arguments() -> None:
    config = with_block("WarmupDecayLR", {**AUTO, "total_num_steps": "auto"}, gradient_clipping="auto")
    config |= {
        "optimizer": {"type": "AdamW", "params": {"lr": "auto"}},
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
    }
    texts = {"ds.json": json.dumps(config), "args.json": json.dumps({**TRAINER, "warmup_steps": 7})}
    found = parse(Files(Path(), texts), ["args.json"])
    assert said(found) == {"owner": "deepspeed", "type": "linear", "warmup_type": "log", "warmup_steps": 7}
    artifacts = render(found.loaded, "trainer")
    assert not artifacts.refused, [d.message for d in artifacts.diagnostics]
    block = json.loads(artifacts.files["ds_config.json"])["scheduler"]
    assert block == {"type": "WarmupDecayLR", "params": {**AUTO, "total_num_steps": "auto"}}
    assert json.loads(artifacts.files["training_args.json"])["warmup_steps"] == 7


def test_a_number_that_the_trainer_would_refuse_stays_where_it_is() -> None:
    config = with_block("WarmupLR", {**AUTO, "warmup_max_lr": 0.5})
    texts = {"ds.json": json.dumps(config), "args.json": json.dumps(TRAINER)}
    found = parse(Files(Path(), texts), ["args.json"])
    assert "scheduler" in found.loaded.document.value["deepspeed"]
    assert explain(Files(Path(), texts), ["args.json"], facts={"world_size": 8, "hidden_size": 64}).error


# -- migrate ------------------------------------------------------------------------------------------


def moved(config: dict[str, Any], to: str, *sets: str) -> Migration:
    return migrate(Files(Path(), {"ds.json": json.dumps(config)}), ["ds.json"], target=to, sets=sets)


def told(found: Migration, source: str) -> list[tuple[str, str]]:
    return [(move.status, move.reason) for move in found.mapping if move.source == source]


def test_the_trainer_keeps_the_block() -> None:
    config = with_block("WarmupLR", {**WARMUP, "warmup_max_lr": 2e-3})
    found = moved(config, "trainer", "cluster.gpus_per_node=8")
    assert json.loads(found.artifacts.files["ds_config.json"])["scheduler"]["params"] == {
        **AUTO,
        "warmup_min_lr": 0,
    }
    arguments = json.loads(found.artifacts.files["training_args.json"])
    # DeepSpeed overwrites the optimizer's rate by the scheduler's: that one is the learning rate
    assert (arguments["learning_rate"], arguments["warmup_steps"]) == (2e-3, 10)
    assert told(found, "scheduler.params.warmup_max_lr") == [("exact", "")]
    assert "lr_scheduler_type" not in arguments


def test_xtuner_gets_a_curve_of_its_own_and_says_what_differs() -> None:
    config = with_block("WarmupDecayLR", {**WARMUP, "total_num_steps": 90, "warmup_type": "linear"})
    found = moved(config, "xtuner", *SETS)
    assert not found.refused, [d.message for d in found.diagnostics]
    words = " ".join(found.artifacts.launch.argv)
    assert "param_scheduler.0.end=20" in words
    assert "param_scheduler.1.type=PolyLR" in words
    assert "param_scheduler.1.end=180" in words  # 90 optimizer steps of 2 micro-steps
    assert "optim_wrapper.optimizer.weight_decay=0.0" in words  # FusedAdam's default, not the config's
    ((status, reason),) = told(found, "scheduler.type")
    assert status == "lossy"
    assert "first two optimizer steps" in reason
    assert told(found, "scheduler.params.warmup_type") == [
        ("exact", "XTuner does this anyway, or has it from another key")
    ]


def test_a_logarithmic_warm_up_has_no_place_in_xtuner() -> None:
    found = moved(with_block("WarmupLR", WARMUP), "xtuner", *SETS)
    assert not found.refused
    assert (
        "unsupported",
        "XTuner warms up on a straight line; DeepSpeed's log(step) / log(steps) rises faster",
    ) in (told(found, "scheduler.type"))


def test_fsdp_has_no_deepspeed_to_build_anything() -> None:
    found = migrate(
        Files(Path(), {"ds.json": json.dumps(with_block("WarmupLR", WARMUP))}), ["ds.json"],
        target="trainer", sharding="fsdp", sets=("cluster.gpus_per_node=8",),
    )  # fmt: skip
    assert not found.refused, [d.message for d in found.diagnostics]
    arguments = json.loads(found.artifacts.files["training_args.json"])
    assert (arguments["lr_scheduler_type"], arguments["warmup_steps"]) == ("constant_with_warmup", 10)
    assert arguments["optim"] == "adamw_torch"


def test_a_plain_config_changes_hands_without_a_word() -> None:
    found = moved({**CONFIG, "optimizer": {"type": "AdamW", "params": {"lr": 1e-3}}}, "trainer")
    assert not [d for d in found.diagnostics if d.code == "MG003"]


SCRIPT = """\
from accelerate import Accelerator
from accelerate.utils import DummyOptim, DummyScheduler
accelerator = Accelerator()
optimizer = DummyOptim(model.parameters(), lr=2e-4, weight_decay=0.1)
scheduler = DummyScheduler(optimizer, total_num_steps=101, warmup_num_steps=6)
model, optimizer, loader, scheduler = accelerator.prepare(model, optimizer, loader, scheduler)
"""
YAML = """\
distributed_type: DEEPSPEED
deepspeed_config: {deepspeed_config_file: ds.json}
num_machines: 1
num_processes: 4
"""


def test_accelerates_block_is_filled_from_the_dummies() -> None:
    optimizer = {"type": "AdamW", "params": {"lr": "auto", "weight_decay": "auto"}}
    config = with_block("WarmupDecayLR", {**AUTO, "total_num_steps": "auto"}, optimizer=optimizer)
    texts = {"ds.json": json.dumps(config), "train.py": SCRIPT, "a.yaml": YAML}
    given, facts = ["a.yaml", "train.py"], {"hidden_size": 64}
    found = parse(Files(Path(), texts), given)
    rows = {
        "type": "linear",
        "warmup_type": "log",
        "warmup_steps": 6,
        "warmup_min_lr": 0,
        "owner": "deepspeed",
    }
    assert said(found) == rows
    assert leaves(found.loaded.spec)["training.max_steps"] == 26  # 101 steps of 4 processes
    artifacts = render(found.loaded, "accelerate")
    before = explain(Files(Path(), texts), given, facts=facts).config
    back = {**artifacts.files, "train.py": SCRIPT}
    after = explain(Files(Path(), back), ["accelerate_config.yaml", "train.py"], facts=facts).config
    assert before
    assert after
    assert before["scheduler"] == after["scheduler"]


def test_a_scheduler_of_the_scripts_own_leaves_the_block_alone() -> None:
    config = with_block("WarmupLR", AUTO)
    texts = {
        "ds.json": json.dumps(config),
        "train.py": SCRIPT.replace("DummyScheduler(", "Mine("),
        "a.yaml": YAML,
    }
    found = parse(Files(Path(), texts), ["a.yaml", "train.py"])
    assert "scheduler" in found.loaded.document.value["deepspeed"]


def test_to_accelerate_the_script_says_how_long_the_run_is() -> None:
    config = with_block("WarmupDecayLR", {**AUTO, "total_num_steps": "auto"}, gradient_clipping="auto")
    config |= {
        "optimizer": {"type": "AdamW", "params": {"lr": "auto"}},
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
    }
    texts = {"ds.json": json.dumps(config), "args.json": json.dumps({**TRAINER, "warmup_steps": 0.1})}
    sets = ("cluster.gpus_per_node=4",)
    found = migrate(Files(Path(), texts), ["args.json"], target="accelerate", sets=sets)
    assert not found.refused, [d.message for d in found.diagnostics]
    block = json.loads(found.artifacts.files["ds_config.json"])["scheduler"]
    assert block["params"] == {
        "total_num_steps": "auto",
        "warmup_num_steps": "auto",
        "warmup_min_lr": 0,
        "warmup_max_lr": 1e-4,
    }
    (line,) = [d.hint for d in found.diagnostics if d.code == "ACC001" and d.message.startswith("scheduler")]
    assert (
        "total_num_steps=steps * accelerator.num_processes, warmup_num_steps=math.ceil(0.1 * steps)" in line
    )
