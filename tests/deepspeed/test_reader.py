"""Bare scripts: how the config, the command line, the optimizer and files are read."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsbridge.diagnostics import InputError
from dsbridge.explaining import Explanation, explain
from dsbridge.reading import Files

CONFIG = {"train_micro_batch_size_per_gpu": 2, "optimizer": {"type": "AdamW", "params": {"lr": 1e-4}}}
HEAD = "import deepspeed\nimport torch\n\nmodel = torch.nn.Linear(2, 2)\n"
CALL = "deepspeed.initialize(model=model, config={})\n"
TORCHRUN = ("torchrun", "--nproc_per_node", "4", "train.py")


def told(files: dict[str, str], command: tuple[str, ...] = TORCHRUN, **facts: Any) -> Explanation:
    return explain(Files(memory=files), command=command, facts=facts, versions={"deepspeed": "0.19.8"})


def made(found: Explanation, name: str) -> Any:
    return found.result.trees["made"][name]


def script(text: str = '"ds.json"', before: str = "", config: Any = CONFIG) -> dict[str, str]:
    body = config if isinstance(config, str) else json.dumps(config)
    return {"train.py": HEAD + before + CALL.format(text), "ds.json": body}


def test_a_file_is_read_as_hjson_with_places() -> None:
    found = told(script(config='{\n  // ours\n  "train_batch_size": 8,\n}\n'))
    assert found.config == {"train_batch_size": 8}
    assert made(found, "train_micro_batch_size_per_gpu") == 2
    story = next(story for story in found.fields if story.path == "train_batch_size")
    assert (story.source.file, story.source.line) == ("ds.json", 3)


@pytest.mark.parametrize(
    ("text", "before"),
    [
        (repr(CONFIG), ""),
        ("ds_config", f"ds_config = {CONFIG!r}\n"),
        ("ds_config", 'import json\nds_config = json.load(open("ds.json"))\n'),
        ("ds_config", 'import json\nwith open("ds.json") as file:\n    ds_config = json.load(file)\n'),
        (
            "ds_config",
            'import json\nfrom pathlib import Path\nds_config = json.loads(Path("ds.json").read_text())\n',
        ),
    ],
    ids=["literal", "variable", "json.load", "with", "read_text"],
)
def test_the_same_config_in_every_form(text: str, before: str) -> None:
    found = told(script(text, before))
    assert found.config == CONFIG
    assert made(found, "train_batch_size") == 8


def test_changes_after_loading_are_followed() -> None:
    before = 'import json\nds_config = json.load(open("ds.json"))\nds_config["train_batch_size"] = 32\n'
    assert made(told(script("ds_config", before)), "gradient_accumulation_steps") == 4


def test_what_only_a_run_knows_is_unknown_until_it_is_said() -> None:
    value = {**CONFIG, "gradient_accumulation_steps": 1}
    text = repr(value).replace("'gradient_accumulation_steps': 1", "'gradient_accumulation_steps': steps()")
    path = "ds.gradient_accumulation_steps"
    assert told(script(text)).unknown == {path.removeprefix("ds."): (path,)}
    found = told(script(text), **{path: 8})
    assert not found.unknown
    assert made(found, "train_batch_size") == 64


ARGUMENTS = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--local_rank", type=int, default=-1)
parser = deepspeed.add_config_arguments(parser)
args = parser.parse_args()
"""
WITH_ARGS = {
    "train.py": HEAD + ARGUMENTS + "deepspeed.initialize(args=args, model=model)\n",
    "ds.json": json.dumps(CONFIG),
}


def test_the_scripts_own_command_line_names_the_config() -> None:
    found = told(WITH_ARGS, (*TORCHRUN, "--deepspeed_config", "ds.json"))
    assert found.config == CONFIG
    missing = told(WITH_ARGS)
    assert missing.error is not None
    assert missing.error["message"].startswith("DeepSpeed requires --deepspeed_config")


def test_the_launcher_adds_local_rank_and_counts_gpus() -> None:
    command = ("deepspeed", "train.py", "--deepspeed_config=ds.json")
    assert made(told(WITH_ARGS, command, gpus=8), "train_batch_size") == 16
    command = ("deepspeed", "--include", "localhost:0,2", *command[1:])
    assert made(told(WITH_ARGS, command, gpus=8), "train_batch_size") == 4
    bare = {name: text.replace('"--local_rank"', '"--rank"') for name, text in WITH_ARGS.items()}
    stopped = told(bare, command, gpus=8)
    assert stopped.error is not None
    assert stopped.error["message"] == "train.py: error: unrecognized arguments: --local_rank=0"


@pytest.mark.parametrize(
    ("argument", "kind"),
    [
        ("torch.optim.SGD(model.parameters())", "torch.SGD"),
        ("deepspeed.ops.adam.DeepSpeedCPUAdam(model.parameters())", "deepspeed.DeepSpeedCPUAdam"),
        ("None", "deepspeed.FusedAdam"),
    ],
)
def test_the_optimizer_is_known_by_its_class(argument: str, kind: str) -> None:
    files = {
        "train.py": HEAD + f'deepspeed.initialize(model=model, config="ds.json", optimizer={argument})\n'
    }
    assert made(told({**files, "ds.json": json.dumps(CONFIG)}), "optimizer") == kind


@pytest.mark.parametrize(
    ("config", "kind", "message"),
    [
        (
            '{"train_batch_size": 8, "train_batch_size": 4}',
            "ValueError",
            "Duplicate keys in DeepSpeed config",
        ),
        ("[1]", "AttributeError", "'list' object has no attribute 'get'"),
        ("null", "TypeError", "argument of type 'NoneType' is not iterable"),
        ('{"a": True}', "HjsonDecodeError", "Bad key name"),
    ],
)
def test_bad_files_are_refused_as_deepspeed_does(config: str, kind: str, message: str) -> None:
    error = told(script(config=config)).error
    assert error is not None
    assert error["type"] == kind
    assert message in error["message"]


def test_a_script_that_is_no_python_is_an_input_error() -> None:
    with pytest.raises(InputError):
        told({"train.py": "import deepspeed\ndeepspeed.initialize(\n"})


def test_a_config_alone_is_enough_to_explain() -> None:
    found = explain(Files(memory={"ds.json": json.dumps(CONFIG)}), ["ds.json"], target="deepspeed")
    assert found.config == CONFIG


KEYS = (
    *("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "stage", "device"),
    *(
        "zero_optimization",
        "offload_optimizer",
        "fp16",
        "bf16",
        "enabled",
        "optimizer",
        "type",
        "params",
        "lr",
    ),
    *("scheduler", "tensor_parallel", "autotp_size", "checkpoint", "data_types", "elasticity", "aio"),
    *("sequence_parallel_size", "data_parallel_size", "gradient_clipping", "vocabulary_size"),
)
SCALARS = st.none() | st.booleans() | st.integers(-3, 9) | st.floats(allow_nan=False)
JSON = st.recursive(
    SCALARS | st.sampled_from(["auto", "2", "", "AdamW"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)
VERSIONS = ("0.16.2", "0.18.4", "0.19.8")


@given(
    config=st.dictionaries(st.sampled_from(KEYS), JSON, max_size=6),
    version=st.sampled_from(VERSIONS),
)
def test_no_config_is_too_odd(config: dict[str, Any], version: str) -> None:
    files = Files(memory=script(config=config))
    found = explain(files, command=TORCHRUN, versions={"deepspeed": version})
    assert found.outcome in ("ok", "refused")


@given(text=st.text(alphabet="{}[]():,\"'\n #/ab1=.", max_size=60))
def test_no_text_is_too_odd(text: str) -> None:
    found = told(script(config=text))
    assert found.outcome in ("ok", "refused")
    with contextlib.suppress(InputError):
        told({"train.py": f"import deepspeed\n{text}\ndeepspeed.initialize(model=1, config={{}})\n"})
