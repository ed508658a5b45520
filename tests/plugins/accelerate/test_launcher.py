"""`accelerate launch`: flags as argparse reads them, the YAML as PyYAML does, both merged."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsbridge.reading import Files, Setup, Words
from dsbridge_accelerate.flags import read_flags
from dsbridge_accelerate.launcher import LAUNCHER, read_config

YAML = """\
distributed_type: DEEPSPEED
num_processes: 8
num_machines: 2
mixed_precision: bf16
deepspeed_config:
  deepspeed_multinode_launcher: standard
  zero_stage: 3
  gradient_clipping: 1.0
"""


def launched(*words: str, **files: str) -> Any:
    memory = {name.replace("_", "."): text for name, text in files.items()}
    return LAUNCHER.read(Setup(Files(memory=memory), words=Words(("accelerate", "launch", *words))))


def test_flags_stop_at_the_script() -> None:
    found = read_flags(Words(("--zero-stage", "3", "--use_deepspeed", "train.py", "--zero_stage", "1"), 3))
    assert found.values == {"zero_stage": 3, "use_deepspeed": True}
    assert found.program.items == ("train.py", "--zero_stage", "1")
    assert found.program.first == 6
    assert found.places["zero_stage"].column == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--zero_stage", "two", "t.py"), "--zero_stage/--zero-stage: invalid int value: 'two'"),
        (("--zero_stage",), "expected one argument"),
        (
            ("--mixed_precision=half", "t.py"),
            "invalid choice: 'half' (choose from 'no', 'fp16', 'bf16', 'fp8')",
        ),
        (("--zero3_save", "true", "t.py"), "unrecognized arguments: --zero3_save"),
        (("--use_deepspeed",), "required: training_script, training_script_args"),
    ],
)
def test_what_argparse_says(words: tuple[str, ...], said: str) -> None:
    assert said in read_flags(Words(words)).problem


def test_flags_win_over_the_yaml() -> None:
    found = launched("--config_file", "acc.yaml", "--zero_stage", "2", "train.py", acc_yaml=YAML)
    launch = found.reading.trees["launch"]
    assert (launch["kind"], launch["zero_stage"], launch["gradient_clipping"]) == ("deepspeed", 2, 1.0)
    assert launch["fields"][-1] == "mixed_precision"
    assert found.reading.facts == {"world_size": 8, "local_world_size": 4}
    assert found.reading.sources["plugin.gradient_clipping"].line == 8
    assert found.reading.sources["env.ACCELERATE_DEEPSPEED_ZERO_STAGE"].column == 5
    assert found.environ["WORLD_SIZE"] == "8"
    assert found.program.items == ("train.py",)


def test_the_file_that_the_yaml_names_becomes_the_config() -> None:
    text = (
        "distributed_type: DEEPSPEED\nnum_processes: 2\ndeepspeed_config: {deepspeed_config_file: ds.json}\n"
    )
    words = ("--config_file", "acc.yaml", "train.py")
    found = launched(*words, acc_yaml=text, ds_json='{"zero_optimization": {"stage": 1}}').reading
    assert found.trees["ds"] == {"zero_optimization": {"stage": 1}}
    assert found.sources["ds.zero_optimization.stage"].file == "ds.json"
    broken = launched(*words, acc_yaml=text, ds_json="{// no").reading
    assert broken.trees["dsfile"]["problem"]["type"] == "JSONDecodeError"
    absent = launched(*words, acc_yaml=text).reading
    assert absent.trees["dsfile"]["problem"]["type"] == "ValueError"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("[1, 2]", "AttributeError"),
        ("", "AttributeError"),
        ("a: [1", "ParserError"),
        ("a: b: c", "ScannerError"),
        ("a: !!python/object:os.system {}", "ConstructorError"),
    ],
)
def test_what_python_raises_at_a_yaml(text: str, kind: str) -> None:
    problem = read_config(Files(memory={"a.yaml": text}), "a.yaml").problem
    assert problem is not None
    assert problem["type"] == kind
    if "line" in problem["message"]:
        assert 'in "a.yaml"' in problem["message"]


def test_a_missing_yaml_and_one_process() -> None:
    found = launched("--config_file", "gone.yaml", "train.py").reading.trees["launch"]
    assert found["file_problem"]["type"] == "FileNotFoundError"
    alone = launched("--cpu", "--num_processes", "2", "train.py")
    assert alone.reading.facts["world_size"] == 1
    assert alone.environ == {}


@given(st.text())
def test_no_yaml_crashes_it(text: str) -> None:
    assert launched("--config_file", "acc.yaml", "train.py", acc_yaml=text).reading.trees["launch"]["used"]


@given(st.lists(st.one_of(st.text(), st.sampled_from(["--zero_stage", "-m", "--config_file", "=", "--"]))))
def test_no_words_crash_it(words: list[str]) -> None:
    assert isinstance(launched(*words).reading.trees, dict)
