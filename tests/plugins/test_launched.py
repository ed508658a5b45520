"""What `accelerate launch` says around a script of the Trainer's and around LLaMA-Factory is carried over.

Recorded runs of the real packages are parsed and rendered back; what they train is predicted twice, and
compared.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from conformance.oracle.case import read_lines
from dsbridge.assumed import with_script
from dsbridge.deepspeed.meanings import NOTHING
from dsbridge.diagnostics import InputError
from dsbridge.differing import Diff, diff
from dsbridge.explaining import Explanation, explain
from dsbridge.migrating import migrate
from dsbridge.parsing import Parsed, parse
from dsbridge.prediction import launch_words
from dsbridge.reading import Files
from dsbridge.rendering import render
from dsbridge.spec.leaves import leaves
from tests.conftest import ROOT

CORPUS = os.environ.get("DSBRIDGE_CORPUS", "")
FACTS = {"world_size": 2, "num_training_steps": 24, "hidden_size": 64, "gpus": 2, "fp8_available": True}
RECORDED = ROOT / "tests/recorded/effective"
SCRIPT = """\
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

args = TrainingArguments(
    output_dir="out", per_device_train_batch_size=2,
    gradient_accumulation_steps={steps}, max_grad_norm={clip}{more}
)
model = AutoModelForCausalLM.from_pretrained("model")
trainer = Trainer(model=model, args=args, train_dataset=load())
trainer.train()
"""
TRAINING = """\
model_name_or_path: model
stage: sft
do_train: true
finetuning_type: full
dataset: d
template: qwen
output_dir: o
per_device_train_batch_size: 2
gradient_accumulation_steps: {steps}
max_grad_norm: {clip}
"""
TOP = {"distributed_type": "DEEPSPEED", "num_machines": 1, "num_processes": 2}


def script(word: str = "bf16", steps: int = 1, clip: float = 1.0, more: str = "") -> str:
    more += f", {word}=True" if word in ("bf16", "fp16") else ""
    return SCRIPT.format(steps=steps, clip=clip, more=more)


def training(word: str = "bf16", steps: int = 1, clip: float = 1.0) -> str:
    end = f"{word}: true\n" if word in ("bf16", "fp16") else ""
    return TRAINING.format(steps=steps, clip=clip) + end


def command(framework: str, *flags: str) -> list[str]:
    program = ["train.py"] if framework == "trainer" else ["-m", "llamafactory.launcher", "train.yaml"]
    return ["accelerate", "launch", "--config_file", "acc.yaml", *flags, *program]


def texts(config: Mapping[str, Any] | str, text: str, **more: Any) -> dict[str, str]:
    name = "train.py" if "import" in text else "train.yaml"
    told = config if isinstance(config, str) else yaml.safe_dump(dict(config))
    return {"acc.yaml": told, name: text, **{f"{k}.json": json.dumps(v) for k, v in more.items()}}


def parsed(memory: dict[str, str], framework: str = "trainer", *flags: str) -> Parsed:
    return parse(Files(memory=memory), command=command(framework, *flags), source=framework)


def said(found: Parsed, *starts: str) -> dict[str, Any]:
    rows = leaves(found.loaded.spec).items()
    return {path: value for path, value in rows if not starts or path.startswith(starts)}


def compared(case: Mapping[str, Any], found: Parsed, own: Files | None = None) -> Diff | None:
    """What is trained before and behind the spec; None where rendering refuses."""
    artifacts = render(found.loaded, found.framework)
    if artifacts.refused:
        return None
    again, _ = with_script(artifacts, found.loaded.spec, present=False)
    model = {name: text for name, text in case["files"].items() if name.endswith("/config.json")}

    def side(where: dict[str, str], words: Any) -> Any:
        def made(facts: Mapping[str, Any]) -> Explanation:
            return explain(
                Files(memory=where),
                command=words,
                target=found.framework,
                facts={**FACTS, **facts},
                versions=case.get("versions"),
            )

        return made

    return diff(side(dict(case["files"]), case["command"]), side({**again, **model}, launch_words(artifacts)))


def changed(found: Diff) -> list[str]:
    return [entry.path for entry in found.differences if entry.meaning.kind != NOTHING]


def recorded() -> Iterator[Any]:
    for path in sorted(RECORDED.glob("*/*.jsonl")):
        framework = {"trainer": "trainer", "trl": "trainer"}.get(path.stem, path.stem)
        for row in read_lines(path):
            if framework in ("trainer", "llamafactory") and row["command"][:2] == ["accelerate", "launch"]:
                yield pytest.param(framework, row, id=f"{path.parent.name}/{row['id']}")


# the spec's own rules refuse these, wherever they are said
REFUSED = {"trainer/launch/cpu": "TR002", "llamafactory/pair/027": "TR009", "llamafactory/pair/034": "TR009"}


@pytest.mark.parametrize(("framework", "row"), list(recorded()))
def test_what_was_run_under_the_launcher_trains_the_same_when_rendered_back(
    framework: str, row: dict[str, Any]
) -> None:
    ran = row["observed"]["outcome"] == "initialized"
    found = parse(Files(memory=dict(row["files"])), command=row["command"], versions=row["versions"])
    assert found.framework == framework
    views = compared(row, found)
    if views is None:
        errors = {d.code for d in render(found.loaded, framework).diagnostics if d.severity.value == "error"}
        assert not ran or errors == {REFUSED[row["id"]]}
    elif ran:
        assert views.b.error is None
        assert not changed(views)


@pytest.mark.parametrize("framework", ["trainer", "llamafactory"])
def test_the_settings_are_the_specs(framework: str) -> None:
    section = {
        "zero_stage": 3, "offload_optimizer_device": "cpu", "offload_param_device": "none",
        "gradient_clipping": 0.5, "gradient_accumulation_steps": 4, "zero3_init_flag": True,
        "zero3_save_16bit_model": True,
    }  # fmt: skip
    text = (script if framework == "trainer" else training)(steps=4, clip=0.5)
    config = {**TOP, "mixed_precision": "bf16", "deepspeed_config": section}
    found = parsed(texts(config, text), framework)
    assert said(found, "zero.", "gradient", "precision", "cluster", "checkpoint") == {
        "zero.stage": 3,
        "zero.offload_optimizer.device": "cpu",
        "zero.offload_param.device": "none",
        "zero.init_on_load": True,
        "checkpoint.gather_16bit_weights": True,
        "gradient_clipping": 0.5,
        "precision.dtype": "bf16",
        "cluster.nodes": 1,
        "cluster.gpus_per_node": 2,
    }
    assert said(found)["batch.accumulation"] == 4
    assert not found.diagnostics
    assert not found.unclaimed
    assert "deepspeed" not in found.loaded.document.value
    rendered = json.loads(render(found.loaded, framework).files["ds_config.json"])
    assert rendered["zero_optimization"]["stage"] == 3
    assert rendered["zero_optimization"]["offload_optimizer"]["device"] == "cpu"


def test_a_setting_that_the_trainer_stops_at_stops_rendering() -> None:
    config = {**TOP, "deepspeed_config": {"zero_stage": 2, "gradient_accumulation_steps": 4}}
    found = parsed(texts(config, script(steps=2)))
    assert found.loaded.document.value["deepspeed"] == {"gradient_accumulation_steps": 4}
    artifacts = render(found.loaded, "trainer")
    assert [d.code for d in artifacts.diagnostics if d.severity.value == "error"] == ["DS002"]
    unasked = parsed(texts({**TOP, "mixed_precision": "bf16"}, script("")))
    assert unasked.loaded.document.value["deepspeed"] == {"bf16": {"enabled": True}}
    assert render(unasked.loaded, "trainer").refused


def test_flags_alone_shard() -> None:
    flags = ("--use_deepspeed", "--zero_stage=1", "--num_processes=4")
    words = ["accelerate", "launch", *flags, "train.py"]
    found = parse(Files(memory={"train.py": script()}), command=words)
    assert said(found, "zero.") == {"zero.stage": 1}
    assert said(found)["cluster.gpus_per_node"] == 4
    inherited = ["ACCELERATE_USE_DEEPSPEED=true", "ACCELERATE_DEEPSPEED_ZERO_STAGE=3", "torchrun", "train.py"]
    again = parse(Files(memory={"train.py": script()}), command=inherited)
    assert said(again, "zero.") == {"zero.stage": 3, "zero.init_on_load": False}


def test_a_flag_fills_the_files_auto_and_gives_way_to_its_numbers() -> None:
    ds = {
        "zero_optimization": {"stage": "auto"},
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": 1.0,
    }
    config = {**TOP, "deepspeed_config": {"deepspeed_config_file": "ds.json"}}
    found = parsed(
        texts(config, script(steps=4), ds=ds), "trainer", "--zero_stage=1", "--gradient_accumulation_steps=4"
    )
    assert said(found, "zero.", "batch.acc") == {"zero.stage": 1, "batch.accumulation": 4}
    assert not found.diagnostics
    dead = parsed(
        texts(config, script(), ds={**ds, "zero_optimization": {"stage": 2}}), "trainer", "--zero_stage=1"
    )
    assert said(dead, "zero.") == {"zero.stage": 2}
    assert [(d.code, d.key) for d in dead.diagnostics] == [("PA003", "deepspeed_config.zero_stage")]


def test_fsdp_of_the_launcher_is_the_specs() -> None:
    config = {**TOP, "distributed_type": "FSDP", "mixed_precision": "bf16"}
    config["fsdp_config"] = {
        "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "fsdp_sharding_strategy": "SHARD_GRAD_OP",
    }
    found = parsed(texts(config, script("")))
    assert said(found, "fsdp.", "precision") == {
        "precision.dtype": "bf16",
        "fsdp.version": 1,
        "fsdp.sharding": "shard_grad_op",
        "fsdp.auto_wrap": "transformer",
        "fsdp.offload_params": False,
        "fsdp.cpu_ram_efficient_loading": True,
        "fsdp.state_dict_type": "full_state_dict",
    }
    rendered = json.loads(render(found.loaded, "trainer").files["training_args.json"])
    assert rendered["fsdp_config"]["cpu_ram_efficient_loading"] is True
    assert rendered["bf16"] is True


@pytest.mark.parametrize("to", ["trainer", "llamafactory", "accelerate"])
@pytest.mark.parametrize(
    ("config", "more"),
    [
        ({**TOP, "distributed_type": "FSDP"}, ", fsdp='full_shard'"),
        ({**TOP, "distributed_type": "FSDP"}, ", deepspeed='ds.json'"),
        (TOP, ", fsdp='full_shard'"),
        ({**TOP, "distributed_type": "FSDP", "fsdp_config": {"fsdp_version": 3}}, ""),
        ({**TOP, "parallelism_config": {"parallelism_config_sp_size": 2}}, ""),
        ({**TOP, "deepspeed_config": {"deepspeed_config_file": "gone.json"}}, ""),
    ],
)
def test_what_cannot_be_carried_stops_a_migration(config: dict[str, Any], more: str, to: str) -> None:
    memory = texts(config, script(more=more), ds={"zero_optimization": {"stage": 2}})
    with pytest.raises(InputError) as caught:
        migrate(Files(memory=memory), command=command("trainer"), target=to)
    assert [d.code for d in caught.value.diagnostics] == ["TR028"]


def test_llamafactory_is_refused_with_the_same_words() -> None:
    memory = texts({**TOP, "distributed_type": "FSDP"}, training() + "fsdp: full_shard\n")
    with pytest.raises(InputError) as caught:
        parsed(memory, "llamafactory")
    assert [d.code for d in caught.value.diagnostics] == ["TR028"]


def test_a_section_of_the_other_kind_says_nothing() -> None:
    config = {
        **TOP,
        "distributed_type": "MULTI_GPU",
        "deepspeed_config": {"deepspeed_config_file": "gone.json"},
    }
    config["fsdp_config"] = {"fsdp_version": 2}
    found = parsed(texts(config, script()))
    assert not found.diagnostics
    assert not said(found, "zero.", "fsdp.")


def test_a_launcher_that_stops_leaves_no_program_to_read() -> None:
    with pytest.raises(InputError) as caught:
        parsed(texts(TOP, script()), "trainer", "--gradient_accumulation_steps=auto")
    assert "starts no program" in caught.value.diagnostics[0].message


def test_it_migrates_with_its_sharding() -> None:
    config = {**TOP, "deepspeed_config": {"zero_stage": 3, "zero3_init_flag": True}}
    found = migrate(Files(memory=texts(config, script())), command=command("trainer"), target="accelerate")
    assert "zero_stage: 3" in found.artifacts.files["accelerate_config.yaml"]
    sources = {move.source: move.status for move in found.mapping}
    assert sources["acc.yaml: deepspeed_config.zero_stage"] == "exact"
    assert len(sources) == len(found.mapping)  # no key is told twice


def test_what_accelerate_does_unasked_is_said_to_another_framework() -> None:
    config = {**TOP, "distributed_type": "FSDP", "fsdp_config": {"fsdp_version": 2}}
    memory = texts(config, training())
    found = migrate(Files(memory=memory), command=command("llamafactory"), target="trainer")
    said_to = json.loads(found.artifacts.files["training_args.json"])["fsdp_config"]
    assert said_to["cpu_ram_efficient_loading"] is True
    assert (said_to["auto_wrap_policy"], said_to["state_dict_type"]) == ("NO_WRAP", "SHARDED_STATE_DICT")


SETTINGS = {
    "zero_stage": st.sampled_from([0, 1, 2, 3]),
    "gradient_accumulation_steps": st.sampled_from([1, 4, "auto"]),
    "gradient_clipping": st.sampled_from([0, 0.5, 1.0, "auto"]),
    "offload_optimizer_device": st.sampled_from(["none", "cpu", "nvme"]),
    "offload_param_device": st.sampled_from(["none", "cpu"]),
    "zero3_init_flag": st.booleans(),
    "zero3_save_16bit_model": st.booleans(),
    "deepspeed_multinode_launcher": st.sampled_from(["standard", "pdsh"]),
}
FILE = {"zero_optimization": {"stage": "auto"}, "gradient_clipping": "auto", "train_batch_size": "auto"}


@given(
    section=st.fixed_dictionaries({}, optional=SETTINGS),
    word=st.sampled_from(["no", "bf16", "fp16", None]),
    own=st.sampled_from(["", "bf16", "fp16"]),
    steps=st.sampled_from([1, 4]),
    framework=st.sampled_from(["trainer", "llamafactory"]),
    file=st.booleans(),
)
def test_any_settings_train_the_same_or_are_refused(
    section: dict[str, Any], word: str | None, own: str, steps: int, framework: str, file: bool
) -> None:
    flags = [f"--{name}={value}".lower() for name, value in section.items()] if file else []
    config = {**TOP, "deepspeed_config": {"deepspeed_config_file": "ds.json"} if file else section}
    if word is not None and not file:
        config["mixed_precision"] = word
    text = (script if framework == "trainer" else training)(own, steps)
    check({"files": texts(config, text, ds=FILE), "command": command(framework, *flags)}, framework)


def check(case: dict[str, Any], framework: str) -> str:
    """Same, or stopped in both, or refused with a diagnostic."""
    try:
        found = parse(
            Files(memory=dict(case["files"])), command=case["command"], source=framework, facts=FACTS
        )
    except InputError as error:
        assert len(error.diagnostics) == 1
        return error.diagnostics[0].code
    views = compared(case, found)
    if views is None:
        return "not rendered"
    if views.a.error:
        return "stops"
    assert views.b.error is None
    assert not changed(views)
    asks = any(path.startswith(("zero.", "fsdp.")) for path in said(found))
    kind = (found.input.reading.trees.get("launch") or {}).get("kind")
    assert asks is (kind in ("deepspeed", "fsdp"))
    if kind == "fsdp":
        behind(case, found)
    return "same"


def behind(case: dict[str, Any], found: Parsed) -> None:
    """DeepSpeed gets nothing under FSDP: so the rendered files are parsed, and must say the same."""
    artifacts = render(found.loaded, found.framework)
    again, _ = with_script(artifacts, found.loaded.spec, present=False)
    once = parse(Files(memory=again), command=launch_words(artifacts), source=found.framework, facts=FACTS)
    same = ("fsdp.", "cluster.gpus", "precision.")
    assert said(once, *same) == said(found, *same)


@pytest.mark.skipif(not CORPUS, reason="the corpus is other people's files: DSBRIDGE_CORPUS names its folder")
@pytest.mark.parametrize("framework", ["trainer", "llamafactory"])
def test_every_yaml_of_the_corpus_around_a_small_program(framework: str) -> None:
    counts: dict[str, int] = {}
    for path in sorted(Path(CORPUS, "accelerate").iterdir()):
        text = path.read_text(encoding="utf-8", errors="replace")
        try:
            config = yaml.safe_load(text)
        except yaml.YAMLError:
            config = None
        section = (config.get("deepspeed_config") if isinstance(config, dict) else None) or {}
        word = config.get("mixed_precision", "") if isinstance(config, dict) else ""
        steps, clip = section.get("gradient_accumulation_steps", 1), section.get("gradient_clipping", 1.0)
        numbers = {
            "steps": steps if isinstance(steps, int) else 1,
            "clip": clip if isinstance(clip, float) else 1.0,
        }
        program = (script if framework == "trainer" else training)(str(word), **numbers)
        outcome = check({"files": texts(text, program), "command": command(framework)}, framework)
        counts[outcome] = counts.get(outcome, 0) + 1
    assert counts["same"] >= 50, counts
    print(framework, counts)
