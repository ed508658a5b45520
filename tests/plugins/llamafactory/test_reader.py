"""Which inputs are LLaMA-Factory's, and the trees its rules get."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsbridge.diagnostics import InputError
from dsbridge.explaining import explain
from dsbridge.inputs import Input, read_input
from dsbridge.plugins import registry
from dsbridge.reading import Files

YAML = "model_name_or_path: m\nstage: sft\ndo_train: true\nfinetuning_type: lora\ndataset: a\n"
YAML += "deepspeed: ds.json\n"
DS = json.dumps({"zero_optimization": {"stage": 2}})
TRAIN = "from llamafactory.train.tuner import run_exp\n\nif __name__ == '__main__':\n    run_exp()\n"


def read(*command: str, facts: dict[str, Any] | None = None, **files: str) -> Input:
    names = {"train.yaml": YAML, "ds.json": DS, "src/train.py": TRAIN}
    memory = {**names, **{name.replace("__", "/").replace("_", "."): text for name, text in files.items()}}
    return read_input(registry(), Files(memory=memory), command=command, facts=facts)


def test_the_launcher_counts_gpus() -> None:
    found = read("llamafactory-cli", "train", "train.yaml", facts={"gpus": 4})
    assert found.reading.facts["world_size"] == 4
    assert found.reading.trees["run"] == {"distributed": True}


@pytest.mark.parametrize(
    ("environ", "world", "distributed"),
    [
        pytest.param((), 1, False, id="one GPU needs no torchrun"),
        pytest.param(("FORCE_TORCHRUN=1",), 1, True, id="unless it is forced"),
        pytest.param(("FORCE_TORCHRUN=yes",), 1, False, id="yes is not true to it"),
        pytest.param(("FORCE_TORCHRUN=1", "NPROC_PER_NODE=4", "NNODES=2"), 8, True, id="ranks said"),
    ],
)
def test_the_launchers_environment(environ: tuple[str, ...], world: int, distributed: bool) -> None:
    found = read(*environ, "llamafactory-cli", "train", "train.yaml", facts={"gpus": 1})
    assert found.reading.facts["world_size"] == world
    assert found.reading.trees["run"] == {"distributed": distributed}


def test_without_the_number_of_gpus_the_ranks_are_not_known() -> None:
    found = read("FORCE_TORCHRUN=1", "llamafactory-cli", "train", "train.yaml")
    assert "world_size" not in found.reading.facts


@pytest.mark.parametrize(
    "command",
    [
        ("torchrun", "--nproc_per_node=2", "src/train.py", "train.yaml"),
        ("python", "-m", "torch.distributed.run", "--nproc_per_node", "2", "src/train.py", "train.yaml"),
        ("torchrun", "--nproc_per_node=2", "-m", "llamafactory.launcher", "train.yaml"),
    ],
    ids=["torchrun", "python -m", "module"],
)
def test_torchrun(command: tuple[str, ...]) -> None:
    found = read(*command)
    assert found.framework.name == "llamafactory"
    assert found.reading.facts["world_size"] == 2
    assert found.reading.trees["ds"] == {"zero_optimization": {"stage": 2}}
    assert found.reading.sources["lf.stage"].line == 2


def test_a_training_yaml_alone_is_recognised() -> None:
    files = Files(memory={"train.yaml": YAML, "ds.json": DS})
    found = read_input(registry(), files, given=["train.yaml"])
    assert found.framework.name == "llamafactory"
    assert found.reading.trees["lf"]["finetuning_type"] == "lora"


def test_settings_from_words_and_from_the_script() -> None:
    found = read("torchrun", "src/train.py", "--stage", "sft", "--learning_rate", "1e-4")
    assert found.reading.trees["lf"] == {"stage": "sft", "learning_rate": 1e-4}
    given_dict = "from llamafactory.train.tuner import run_exp\nrun_exp({'stage': 'pt'})\n"
    found = read("torchrun", "own.py", own_py=given_dict)
    assert found.reading.trees["lf"] == {"stage": "pt"}


def test_settings_that_only_a_run_would_give() -> None:
    script = "import json\nfrom llamafactory.train.tuner import run_exp\nrun_exp(json.load(open('a')))\n"
    with pytest.raises(InputError) as caught:
        read("torchrun", "own.py", own_py=script)
    assert [finding.code for finding in caught.value.diagnostics] == ["LF015"]
    assert "own.py:3" in str(caught.value)


def test_a_config_that_is_not_there_is_the_frameworks_affair() -> None:
    found = read("llamafactory-cli", "train", "train.yaml", "deepspeed=no.json")
    assert "ds" not in found.reading.trees
    assert found.reading.trees["dsfile"]["problem"]["type"] == "ValueError"


def test_other_scripts_are_not_taken() -> None:
    with pytest.raises(InputError):
        read("torchrun", "own.py", own_py="print(1)\n")


@pytest.mark.parametrize(
    ("index", "said"),
    [
        ('{"b": {"file_name": "b.json"}}', "Undefined dataset a in dataset_info.json."),
        ('{"a": ', "Cannot open data/dataset_info.json due to Expecting value"),
    ],
)
def test_the_index_of_datasets(index: str, said: str) -> None:
    memory = {"train.yaml": YAML + "bf16: true\n", "ds.json": DS, "data/dataset_info.json": index}
    found = explain(
        Files(memory=memory),
        command=["FORCE_TORCHRUN=1", "llamafactory-cli", "train", "train.yaml"],
        facts={"gpus": 2},
        versions={"llamafactory": "0.9.5", "transformers": "5.6.0"},
    )
    assert found.error is not None
    assert found.error["message"].startswith(said)


@given(st.text(), st.text())
def test_no_file_crashes_it(text: str, ds: str) -> None:
    memory = {"train.yaml": text, "ds.json": ds}
    command = ["FORCE_TORCHRUN=1", "llamafactory-cli", "train", "train.yaml", "deepspeed=ds.json"]
    assert read_input(registry(), Files(memory=memory), command=command).framework.name == "llamafactory"
