"""LLaMA-Factory's V1: whose input it is, what its keys say, and that rendering keeps its dialect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.oracle.case import read_lines
from conformance.oracle.cases._llamafactory_files import AUTO, GONE, changed
from conformance.oracle.cases._llamafactory_v1 import BASE, V1
from dsbridge.claims import leaves_of
from dsbridge.deepspeed.meanings import NOTHING
from dsbridge.diagnostics import InputError
from dsbridge.differing import diff
from dsbridge.explaining import Explanation, explain
from dsbridge.migrating import Migration, migrate
from dsbridge.parsing import Parsed, parse
from dsbridge.prediction import launch_words
from dsbridge.reading import Files
from dsbridge.rendering import render
from dsbridge.spec.leaves import to_mapping
from dsbridge.spec.load import load_mapping
from tests.conftest import ROOT

RECORDED = ROOT / "tests" / "recorded" / "effective" / "llamafactory" / "llamafactory.jsonl"
FACTS = {"world_size": 2, "hidden_size": 64, "gpus": 2}
LORA = {"name": "lora", "r": 16, "lora_alpha": 32, "target_modules": "all", "modules_to_save": ["embed"]}
FSDP = {"dist_config": {"name": "fsdp2", "reshard_after_forward": True, "pin_memory": False}}
DEEPSPEED = BASE["dist_config"]


def texts(own: dict[str, Any] | None = None, ds: dict[str, Any] | None = None) -> dict[str, str]:
    """A V1 YAML, each setting on lines of its own, and the ds.json that it names."""
    text = yaml.safe_dump(changed(BASE, own or {}), sort_keys=False)
    return {"train.yaml": text, "ds.json": json.dumps(changed(AUTO, ds or {}))}


def read(own: dict[str, Any] | None = None, ds: dict[str, Any] | None = None) -> Parsed:
    return parse(Files(Path(), texts(own, ds)), ["train.yaml"])


def spec(own: dict[str, Any] | None = None, ds: dict[str, Any] | None = None) -> dict[str, Any]:
    return to_mapping(read(own, ds).loaded.spec)


def explained(own: dict[str, Any] | None = None, ds: dict[str, Any] | None = None) -> Explanation:
    return explain(Files(Path(), texts(own, ds)), ["train.yaml"], facts=FACTS)


def told(found: Any) -> list[str]:
    return [finding.code for finding in found.diagnostics]


def moved(to: str, own: dict[str, Any] | None = None, *sets: str) -> Migration:
    return migrate(Files(Path(), texts(own)), ["train.yaml"], target=to, facts=FACTS, sets=sets)


def test_a_file_in_its_words_is_read_by_its_command() -> None:
    found = read()
    assert found.framework == "llamafactory"
    assert found.input.setup.environ == {**V1, "RANK": "0", "LOCAL_RANK": "0"}
    assert found.input.reading.sources["lf.dist_config.name"].line == 4
    assert explained().config["gradient_accumulation_steps"] == 2


@pytest.mark.parametrize(
    ("command", "dialect"),
    [
        (("USE_V1=1", "llamafactory-cli", "train", "train.yaml"), "v1"),
        (("USE_V1=y", "lmf", "sft", "train.yaml"), "v1"),
        (("torchrun", "-m", "llamafactory.v1.launcher", "sft", "train.yaml"), "v1"),
        (("USE_V1=0", "llamafactory-cli", "train", "train.yaml"), None),
        (("USE_V1=on", "llamafactory-cli", "train", "train.yaml"), None),  # the older list of words counts
    ],
)
def test_what_switches_it_on(command: tuple[str, ...], dialect: str | None) -> None:
    found = parse(Files(Path(), texts()), command=command)
    assert to_mapping(found.loaded.spec)["frameworks"]["llamafactory"].get("dialect") == dialect
    assert ("LF017" in told(found)) is (dialect is None)


def test_its_own_words_need_the_switch() -> None:
    with pytest.raises(InputError, match="`llamafactory-cli sft` is V1's: without USE_V1=1"):
        parse(Files(Path(), texts()), command=("llamafactory-cli", "sft", "train.yaml"))


def test_an_older_llamafactory_has_no_v1_that_trains() -> None:
    found = explain(Files(Path(), texts()), ["train.yaml"], facts=FACTS, versions={"llamafactory": "0.9.4"})
    assert "LF016" in told(found)


def test_what_deepspeed_is_told_by_the_file_is_not_the_yamls() -> None:
    """0.9.5 hands max_grad_norm and bf16 to nobody under DeepSpeed: v1-ds/clip-auto, v1-ds/bf16-off."""
    found = read({"max_grad_norm": 0.3, "bf16": False})
    said = to_mapping(found.loaded.spec)
    assert (said["gradient_clipping"], said["precision"]["dtype"]) == (1.0, "bf16")
    assert sorted(entry.key for entry in found.unclaimed) == ["bf16", "max_grad_norm"]
    effective = explained({"max_grad_norm": 0.3, "bf16": False})
    notes = {step.rule.code for step in effective.result.notes}
    assert {"LF338", "LF352"} <= notes


@pytest.mark.parametrize(
    ("ds", "batch"),
    [
        ({}, {"micro_per_gpu": 2, "global": 8}),
        ({"gradient_accumulation_steps": GONE}, {"micro_per_gpu": 2, "accumulation": 1}),
        ({"gradient_accumulation_steps": 4}, {"micro_per_gpu": 2, "accumulation": 4}),
        # recorded in v1-ds/micro-other: accumulation is 2 by V1's own micro batch, and DeepSpeed's is 4
        ({"train_micro_batch_size_per_gpu": 4}, {"micro_per_gpu": 4, "global": 16}),
    ],
)
def test_the_batch_is_deepspeeds(ds: dict[str, Any], batch: dict[str, int]) -> None:
    assert spec(None, ds)["batch"] == batch


def test_a_number_of_steps_in_the_config_adds_no_global_batch_to_the_yaml() -> None:
    command = ["USE_V1=1", "NPROC_PER_NODE=2", "FORCE_TORCHRUN=1", "llamafactory-cli", "train", "train.yaml"]
    files = Files(Path(), texts({"global_batch_size": GONE}, {"gradient_accumulation_steps": 4}))
    found = render(parse(files, command=command).loaded, "llamafactory")
    assert "global_batch_size" not in found.files["train.yaml"]
    assert json.loads(found.files["ds_config.json"])["gradient_accumulation_steps"] == 4


def test_plugins_become_the_specs_blocks_and_keep_the_rest() -> None:
    own = {"peft_config": LORA, "quant_config": {"name": "bnb", "quantization_bit": "4"}, **FSDP}
    own["dist_config"] = {**FSDP["dist_config"], "cp_size": 2}
    found = spec({**own, "bf16": True})
    assert found["finetuning"] == {
        "method": "qlora",
        "rank": 16,
        "alpha": 32.0,
        "target_modules": "all",
        "quantization_bits": 4,
    }
    assert found["fsdp"] == {"version": 2, "reshard_after_forward": True}
    assert (found["parallelism"], found["precision"]) == ({"ulysses": 2}, {"dtype": "bf16"})
    kept = found["frameworks"]["llamafactory"]
    assert kept["peft_config"] == {"modules_to_save": ["embed"]}
    assert kept["dist_config"] == {"pin_memory": False}


def test_a_config_that_is_not_there_stays_named_and_is_told() -> None:
    found = parse(Files(Path(), {"train.yaml": texts()["train.yaml"]}), ["train.yaml"])
    assert "PA007" in told(found)
    artifacts = render(found.loaded, "llamafactory")
    assert yaml.safe_load(artifacts.files["train.yaml"])["dist_config"] == DEEPSPEED


def test_variables_that_fill_the_config_are_told() -> None:
    command = ["USE_V1=1", "ACCELERATE_GRADIENT_CLIPPING=0.5", "llamafactory-cli", "train", "train.yaml"]
    assert "LF020" in told(parse(Files(Path(), texts()), command=command))


def test_what_it_does_unasked_is_said_to_other_targets() -> None:
    """Its defaults are not TrainingArguments': a constant rate, torch's weight decay."""
    found = moved("trainer", {"learning_rate": GONE, "peft_config": LORA}, "cluster.gpus_per_node=2")
    arguments = json.loads(found.artifacts.files["training_args.json"])
    assert (arguments["learning_rate"], arguments["weight_decay"]) == (1e-4, 0.01)
    assert (arguments["lr_scheduler_type"], arguments["num_train_epochs"]) == ("constant", 3)


def test_it_moves_to_each_target_with_the_same_batch() -> None:
    sets = ("cluster.gpus_per_node=2", "frameworks.xtuner.config=qwen1_5_7b_chat_full_alpaca_e3")
    for to in ("trainer", "accelerate", "xtuner", "deepspeed", "llamafactory"):
        found = moved(to, None, *sets)
        assert not found.refused, (to, [d.message for d in found.diagnostics])
        sources = ", ".join(move.source for move in found.mapping)
        assert not [key for key in BASE if key not in sources], to


def test_others_become_the_older_dialect() -> None:
    args = {"output_dir": "o", "deepspeed": "ds.json", "bf16": True, "per_device_train_batch_size": 2}
    files = Files(Path(), {"args.json": json.dumps(args), "ds.json": json.dumps(AUTO)})
    own = ("frameworks.llamafactory.dataset=d", "model.name_or_path=m")
    found = migrate(files, ["args.json"], target="llamafactory", source="trainer", facts=FACTS, sets=own)
    assert "per_device_train_batch_size: 2" in found.artifacts.files["train.yaml"]
    assert "USE_V1" not in found.artifacts.launch.env


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("precision", {"dtype": "fp16"}, "LF019"),
        ("parallelism", {"ulysses": 2}, "LF019"),
        ("optimizer", {"owner": "deepspeed", "type": "adamw", "lr": 1e-4}, "LF019"),
        ("scheduler", {"type": "cosine"}, "REN002"),
        ("optimizer", {"weight_decay": 0.1}, "REN002"),
        ("model", {"attention": "flash_attention_3"}, "LF019"),
    ],
)
def test_what_it_cannot_do_is_said(path: str, value: dict[str, Any], code: str) -> None:
    root = {"version": 1, "zero": {"stage": 2}, "frameworks": {"llamafactory": {"dialect": "v1"}}}
    artifacts = render(load_mapping({**root, path: value}), "llamafactory")
    assert code in told(artifacts)


def test_a_dialect_that_nobody_knows_is_refused() -> None:
    root = {"version": 1, "frameworks": {"llamafactory": {"dialect": "v2"}}}
    assert "LF022" in told(render(load_mapping(root), "llamafactory"))


def test_from_v1_to_the_older_dialect_in_two_steps() -> None:
    first = moved("trainer", None, "cluster.gpus_per_node=2")
    own = ("frameworks.llamafactory.dataset=d", "model.name_or_path=m", "finetuning.method=full")
    files = Files(Path(), dict(first.artifacts.files))
    given = ["training_args.json"]
    found = migrate(files, given, target="llamafactory", source="trainer", facts=FACTS, sets=own)
    text = yaml.safe_load(found.artifacts.files["train.yaml"])
    said = {name: text[name] for name in ("gradient_accumulation_steps", "learning_rate", "weight_decay")}
    assert said == {"gradient_accumulation_steps": 2, "learning_rate": 1e-4, "weight_decay": 0.01}


def test_accumulation_without_ranks_cannot_be_said_without_deepspeed() -> None:
    root = {"version": 1, "batch": {"accumulation": 4}, "frameworks": {"llamafactory": {"dialect": "v1"}}}
    assert "LF018" in told(render(load_mapping(root), "llamafactory"))


def test_the_users_own_file_is_edited_inside_its_plugins() -> None:
    from dsbridge.framework import Base

    base = Base(
        "my.yaml", "# mine\nmodel: m  # keep\npeft_config:\n  name: lora\n  r: 4\n  lora_dropout: 0.1\n"
    )
    root = {
        "version": 1,
        "finetuning": {"method": "lora", "rank": 8},
        "frameworks": {"llamafactory": {"dialect": "v1"}},
    }
    text = render(load_mapping(root), "llamafactory", base).files["my.yaml"]
    assert "# mine" in text
    assert "model: m  # keep" in text
    assert yaml.safe_load(text)["peft_config"] == {"name": "lora", "r": 8, "lora_dropout": 0.1}


def rendered_back(files: dict[str, str], command: list[str]) -> tuple[Explanation, Explanation] | None:
    """What the framework makes of an input, and of what is parsed and rendered from it."""
    before = explain(Files(Path(), files), command=command, facts=FACTS)
    if before.error is not None:
        return None
    artifacts = render(parse(Files(Path(), files), command=command).loaded, "llamafactory")
    assert not artifacts.refused, [d.message for d in artifacts.diagnostics]
    rest = {name: text for name, text in files.items() if name not in ("train.yaml", "ds.json")}
    again = {**rest, **artifacts.files}
    return before, explain(Files(Path(), again), command=launch_words(artifacts), facts=FACTS)


def same(found: tuple[Explanation, Explanation]) -> bool:
    return not differences(found)


def differences(found: tuple[Explanation, Explanation]) -> list[Any]:
    """What changes more than nothing."""
    before, after = found
    told = diff(lambda _: before, lambda _: after).differences
    return [entry for entry in told if entry.meaning.kind != NOTHING]


# what the command's environment says is told by parse, and is not the files'
CASES = [
    row
    for row in read_lines(RECORDED)
    if row["id"].startswith("llamafactory/v1-") and row["environ"] == V1 and "train.yaml" in row["files"]
]


def test_there_are_recorded_cases_to_render_back() -> None:
    assert sum(row["observed"]["outcome"] == "initialized" for row in CASES) > 80


@pytest.mark.parametrize("start", range(0, len(CASES), 20))
def test_recorded_cases_come_back_as_they_were(start: int) -> None:
    for row in CASES[start : start + 20]:
        words = [f"{name}={value}" for name, value in row["environ"].items()] + row["command"]
        found = rendered_back(row["files"], words)
        assert found is None or same(found), row["id"]


def maybe(**options: list[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Some of the keys, each with one of its values."""
    return st.fixed_dictionaries({}, optional={key: st.sampled_from(said) for key, said in options.items()})


OWN = maybe(
    peft_config=[GONE, LORA, {"name": "freeze", "freeze_trainable_layers": 1}, {"name": "lora", "r": "8"}],
    quant_config=[{"name": "auto", "quantization_bit": 4}, {"name": "bnb", "quantization_bit": 8}],
    dist_config=[
        DEEPSPEED,
        {**DEEPSPEED, "dp_size": 2, "timeout": 600},
        FSDP["dist_config"],
        {"name": "fsdp2", "cp_size": 2, "cp_mode": "ulysses", "mp_replicate_size": 1},
        {"name": "fsdp2", "offload_params": True, "mp_shard_size": 2},
        None,
        GONE,
        json.dumps(DEEPSPEED),
    ],
    kernel_config=[{"name": "auto", "include_kernels": "auto"}],
    micro_batch_size=[1, 4, GONE],
    global_batch_size=[None, 16, GONE],
    learning_rate=[1e-5, GONE],
    max_grad_norm=[0.3, 1.0],
    bf16=[True, False, "false"],
    max_steps=[10, None, GONE],
    num_train_epochs=[1],
    flash_attn=["eager", "flash_attention_2"],
    save_epochs=[0.5],
    enable_activation_checkpointing=[False],
    sample_backend=["hf"],
    eval_dataset=["rows.json"],
)
CONFIG = maybe(
    **{
        "train_micro_batch_size_per_gpu": [GONE, 2, 4, None],
        "gradient_accumulation_steps": [GONE, 1, 2, 4],
        "train_batch_size": [GONE],
        "gradient_clipping": [GONE, 0.5, 0],
        "bf16.enabled": [True, False, "True"],
        "fp16.enabled": [False],
        "fp16.loss_scale": [128],
        "zero_optimization.stage": [1, 3, "auto"],
        "zero_optimization.reduce_bucket_size": ["auto"],
        "zero_optimization.offload_optimizer": [{"device": "cpu", "pin_memory": True}],
        "wall_clock_breakdown": [True],
    }
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(own=OWN, config=CONFIG)
def test_every_key_is_accounted_for_and_comes_back(own: dict[str, Any], config: dict[str, Any]) -> None:
    files = texts(own, config)
    found = parse(Files(Path(), files), ["train.yaml"])
    taken = {key for claim in found.claims.values() for key in claim.keys}
    taken |= {*found.consumed, *found.kept}
    lost = {entry.key for entry in found.unclaimed}
    trees = found.input.reading.trees
    for name in ("lf", "ds"):
        for key, _ in leaves_of(trees.get(name, {}), (name,)):
            named = any(key[:length] in taken for length in range(2, len(key) + 1))
            assert named or ".".join(key[1:]) in lost or len(key) == 1, key
    command = ["USE_V1=1", "FORCE_TORCHRUN=1", "llamafactory-cli", "train", "train.yaml"]
    back = rendered_back(files, command)
    assert back is None or same(back), differences(back)
