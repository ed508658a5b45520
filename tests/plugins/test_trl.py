"""TRL's classes of arguments: their defaults by release, their parser, and the way to the spec and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.oracle.case import read_lines
from conformance.oracle.cases.trl import DS, TEXTS, literal, plain, script
from dsbridge.assumed import with_script
from dsbridge.deepspeed.meanings import NOTHING
from dsbridge.diagnostics import InputError
from dsbridge.differing import diff
from dsbridge.explaining import Explanation, explain
from dsbridge.migrating import migrate
from dsbridge.parsing import Parsed, parse
from dsbridge.reading import Files
from dsbridge.rendering import render
from dsbridge_trainer import table, trl_table
from tests.conftest import ROOT

RECORDED = sorted((ROOT / "tests" / "recorded" / "effective").glob("trl*/trl.jsonl"))
HARVESTED = sorted((ROOT / "tests" / "recorded" / "trl_arguments").glob("*.json"))
COMMAND = ["torchrun", "--nproc_per_node=2", "train.py"]
FACTS = {"world_size": 2, "num_training_steps": 4, "hidden_size": 64, "gpus": 2}
LR = {"optimizer": {"type": "AdamW", "params": {"lr": "auto"}}}


def files(case: dict[str, Any]) -> Files:
    return Files(memory=dict(case["files"]))


def explained(case: dict[str, Any], **versions: str) -> Explanation:
    return explain(files(case), command=case["command"], versions=versions)


def parsed(case: dict[str, Any], **versions: str) -> Parsed:
    return parse(files(case), command=case["command"], versions=versions)


@pytest.mark.parametrize(
    ("release", "rate", "bf16"), [("0.18.2", 2e-5, False), ("0.19.0", 2e-5, True), ("1.16.0", 2e-5, True)]
)
def test_defaults_follow_the_release(release: str, rate: float, bf16: bool) -> None:
    found = explained(plain("x", "SFT", ds=LR), trl=release)
    assert found.config is not None
    assert found.config["optimizer"]["params"]["lr"] == rate
    assert found.config["bf16"]["enabled"] is bf16


def test_the_table_says_what_was_harvested() -> None:
    assert [path.stem for path in HARVESTED] == sorted(trl_table.raw()["versions"])
    for path in HARVESTED:
        for name, row in json.loads(path.read_text(encoding="utf-8"))["classes"].items():
            assert dict(trl_table.rows(name, path.stem)) == row["fields"], (path.stem, name)
            assert trl_table.exported(name, path.stem) is row["exported"]
            assert trl_table.fills(name, path.stem, "bf16") is ("bf16" in row["fills"])


def test_a_release_without_the_class_has_the_fields_of_its_last_one() -> None:
    assert trl_table.rows("PPOConfig", "1.16.0") == trl_table.rows("PPOConfig", "1.12.0")
    assert not trl_table.exported("PPOConfig", "1.16.0")


def test_parse_says_the_defaults_outright_and_keeps_the_class() -> None:
    spec = parsed(plain("x", "SFT", {"eos_token": "</s>", "max_length": 256})).loaded.document.value
    assert spec["frameworks"]["trainer"]["class"] == "SFTConfig"
    assert spec["frameworks"]["trainer"]["eos_token"] == "</s>"
    assert spec["optimizer"]["lr"] == 2e-5
    assert spec["precision"]["dtype"] == "bf16"
    assert spec["training"]["gradient_checkpointing"] is True
    assert spec["training"]["sequence_length"] == 256


def test_migrating_keeps_the_learning_rate_of_the_class() -> None:
    case = plain("x", "SFT", {"max_length": 256})
    sets = ["finetuning.method=full", "model.name_or_path=model", "frameworks.llamafactory.dataset=d"]
    sets.append("frameworks.llamafactory.template=qwen")
    found = migrate(files(case), command=case["command"], target="llamafactory", sets=sets)
    assert not found.refused, found.diagnostics
    text = "".join(found.artifacts.files.values())
    assert "learning_rate: 2.0e-05" in text
    assert "cutoff_len: 256" in text
    assert "bf16: true" in text
    assert "SFTConfig" not in text


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.parent.name)
def test_rendered_back_the_engine_gets_the_same(path: Path) -> None:
    rows = [row for row in read_lines(path) if row["observed"]["outcome"] == "initialized"]
    # the plain script that stands for the user's has no rows of data, no LoRA and no ref_model
    other = ("LoraConfig(", "ref_model=")
    rows = [row for row in rows if not any(word in row["files"]["train.py"] for word in other)]
    rows = [row for row in rows if row["id"] != "trl/sft/epochs" and "/launch/" not in row["id"]]
    same = 0
    for row in rows:
        found = parse(files(row), command=row["command"], facts=FACTS, versions=row["versions"])
        artifacts = render(found.loaded, "trainer")
        if artifacts.refused:  # a number that the config and the arguments say alike is not rendered
            assert {d.code for d in artifacts.diagnostics if d.severity.value == "error"} == {"TR024"}
            continue
        texts, _ = with_script(artifacts, found.loaded.spec, present=False)
        compared = diff(side(files(row), row), side(Files(memory=texts), {**row, "command": COMMAND}))
        assert compared.b.error is None, row["id"]
        told = [entry.path for entry in compared.differences if entry.meaning.kind != NOTHING]
        assert not told, row["id"]
        one, other = (view.result.trees.get("trl", {}).get("class") for view in (compared.a, compared.b))
        assert one == other, row["id"]
        same += 1
    assert same >= 30


def side(where: Files, row: dict[str, Any]) -> Callable[[Mapping[str, Any]], Explanation]:
    """One side of a comparison."""

    def made(facts: Mapping[str, Any]) -> Explanation:
        return explain(where, command=row["command"], facts={**FACTS, **facts}, versions=row["versions"])

    return made


def test_a_class_that_trl_does_not_have_is_refused() -> None:
    found = parsed(plain("x", "SFT"))
    root = found.loaded.document.value
    root["frameworks"]["trainer"]["class"] = "SFTArguments"
    from dsbridge import api

    artifacts = api.render(api.load(root), "trainer")
    assert [d.code for d in artifacts.diagnostics if d.severity.value == "error"] == ["TR026"]


def test_the_snippet_makes_the_class() -> None:
    files = render(parsed(plain("x", "DPO")).loaded, "trainer").files
    assert "args = DPOConfig(**json.load(file))" in files["train_snippet.py"]
    assert "trainer = DPOTrainer(model=model, args=args, train_dataset=...)" in files["train_snippet.py"]


def test_the_scripts_own_subclass_is_read_as_its_base() -> None:
    own = "class Ours(SFTConfig):\n    extra: int = 3\n\n\n"
    text = script("SFT", own + literal("SFT", {"extra": 4}, "Ours"), imports=("SFTConfig",))
    found = explain(Files(memory={"train.py": text, "ds.json": json.dumps({**DS, **LR})}), command=COMMAND)
    assert found.error is None
    assert found.result.trees["args"]["extra"] == 4
    assert found.result.trees["args"]["learning_rate"] == 2e-5


def test_a_class_of_ones_own_with_trls_name_is_not_trls() -> None:
    text = "from dataclasses import dataclass\nfrom transformers import Trainer, TrainingArguments\n\n\n"
    text += "@dataclass\nclass SFTConfig(TrainingArguments):\n    pass\n\n\n"
    text += 'args = SFTConfig("out", deepspeed="ds.json")\ntrainer = Trainer(None, args, train_dataset=[])\n'
    found = explain(Files(memory={"train.py": text, "ds.json": json.dumps(DS)}), command=COMMAND)
    assert "trl" not in found.result.trees
    assert found.result.trees["args"]["learning_rate"] == 5e-5


def test_an_old_trl_beside_a_plain_trainer_is_no_news() -> None:
    text = "from transformers import Trainer, TrainingArguments\n"
    text += 'args = TrainingArguments("out", deepspeed="ds.json")\nTrainer(None, args).train()\n'
    memory = {"train.py": text, "ds.json": json.dumps(DS)}
    found = explain(Files(memory=memory), command=COMMAND, versions={"trl": "0.9.6"})
    assert not [d for d in found.diagnostics if d.code == "EX001"]
    assert [d for d in explained(plain("x", "SFT"), trl="0.9.6").diagnostics if d.code == "EX001"]


NAMES = st.sampled_from(["learning_rate", "max_length", "bf16", "packing", "num_generations", "zzz", "env"])
VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just([1]))


@given(
    st.dictionaries(NAMES, VALUES, max_size=5),
    st.lists(st.sampled_from(["--bf16", "--learning_rate", "1e-3"])),
)
def test_no_yaml_and_no_flags_make_the_parser_fail(config: dict[str, Any], words: list[str]) -> None:
    source = "parser = TrlParser(SFTConfig)\n(args,) = parser.parse_args_and_config()\n"
    text = script("SFT", source, imports=("SFTConfig", "TrlParser"))
    memory = {"train.py": text, "ds.json": json.dumps(DS), "a.yaml": json.dumps(config)}
    explain(Files(memory=memory), command=[*COMMAND, "--config", "a.yaml", *words])


def test_the_newest_release_is_the_newest_harvested() -> None:
    assert trl_table.raw()["versions"][-1] == trl_table.NEWEST
    assert TEXTS
    assert set(trl_table.rows("SFTConfig", trl_table.NEWEST)) - set(table.fields(table.NEWEST))


@pytest.mark.parametrize(("kind", "release"), [("PPO", "0.18.2"), ("RLOO", "0.18.2")])
def test_trainers_that_prepare_their_models_themselves_are_declined(kind: str, release: str) -> None:
    text = script("SFT", literal(kind), imports=(f"{kind}Config", f"{kind}Trainer"), trainer=f"{kind}Trainer")
    memory = {"train.py": text, "ds.json": json.dumps(DS)}
    with pytest.raises(InputError) as caught:
        explain(Files(memory=memory), command=COMMAND, versions={"trl": release})
    assert [d.code for d in caught.value.diagnostics] == ["TR027"]


def test_a_launchers_yaml_is_read_with_the_script() -> None:
    row = next(row for row in read_lines(RECORDED[0]) if row["id"] == "trl/launch/zero2")
    found = parse(files(row), command=row["command"], versions=row["versions"])
    assert found.loaded.document.value["zero"]["stage"] == 2
    assert not found.unclaimed


def test_a_yaml_beside_a_script_with_trl_parser_is_its_config() -> None:
    row = next(row for row in read_lines(RECORDED[0]) if row["id"] == "trl/parser/yaml")
    found = explain(files(row), ["train.py", "sft.yaml"])
    assert found.config is not None
    assert found.config["optimizer"]["params"]["lr"] == 3e-4
