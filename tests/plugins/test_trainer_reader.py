"""Reading the Trainer's input: scripts, flags, files of arguments. Nothing is executed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsbridge.reading import Files, Reading, Setup, Words
from dsbridge.values import Unknown
from dsbridge_trainer import flags, table
from dsbridge_trainer.reader import READER

DS = json.dumps({"zero_optimization": {"stage": 2}, "train_batch_size": "auto"}, indent=1)
LITERAL = """\
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

args = TrainingArguments(output_dir="out", deepspeed="ds.json", learning_rate=1e-4, seed=int(input()))
model = AutoModelForCausalLM.from_pretrained("model")
trainer = Trainer(model=model, args=args, train_dataset=[{"a": 1}] * 12)
trainer.train()
"""
PARSED = """\
import sys
from dataclasses import dataclass, field
from transformers import AutoModelForCausalLM, HfArgumentParser, Trainer, TrainingArguments

@dataclass
class ModelArguments:
    model_name_or_path: str = field(default="model")
    lora: bool = False

parser = HfArgumentParser((ModelArguments, TrainingArguments))
if len(sys.argv) == 2 and sys.argv[1].endswith(".json"):
    model_args, args = parser.parse_json_file(json_file=sys.argv[1])
else:
    model_args, args = parser.parse_args_into_dataclasses()
model = AutoModelForCausalLM.from_pretrained(model_args.model_name_or_path)
Trainer(model, args, None, [1, 2, 3]).train()
"""


def read(script: str, *words: str, files: dict[str, str] | None = None) -> Reading:
    memory = {"train.py": script, "ds.json": DS, "model/config.json": '{"hidden_size": 64}', **(files or {})}
    setup = Setup(Files(memory=memory), words=Words(("train.py", *words), 2))
    assert READER.recognises(setup) == 3
    return READER.read(setup)


def test_a_literal_call_with_places() -> None:
    found = read(LITERAL)
    assert found.trees["args"]["learning_rate"] == 1e-4
    assert found.trees["args"]["seed"] == Unknown(frozenset({"args.seed"}))
    assert found.trees["ds"]["zero_optimization"] == {"stage": 2}
    assert found.trees["model"] == {"hidden_size": 64}
    assert found.trees["script"]["trains"] is True
    assert found.trees["script"]["data"] == {"given": True, "length": 12}
    assert found.trees["script"]["model"]["way"] == "from_pretrained"
    assert found.trees["script"]["model"]["first"] is False
    assert str(found.sources["args.learning_rate"]) == "train.py:3"
    assert found.sources["ds.zero_optimization.stage"].line == 3


def test_flags_and_the_scripts_own_dataclass() -> None:
    words = ["--output_dir", "out", "--bf16", "--deepspeed", "ds.json", "--model-name-or-path", "model"]
    found = read(PARSED, *words, "--gradient_accumulation_steps=4", "--lora", "yes")
    args = found.trees["args"]
    assert (args["bf16"], args["gradient_accumulation_steps"]) == (True, 4)
    assert "lora" not in args
    assert found.trees["parser"] == {}
    assert found.trees["model"] == {"hidden_size": 64}
    assert found.sources["args.bf16"].column == 5


def test_a_file_of_arguments() -> None:
    body = json.dumps({"output_dir": "out", "deepspeed": "ds.json", "rank": 8})
    found = read(PARSED, "run.json", files={"run.json": body})
    assert found.trees["parser"] == {"keys": ["rank"]}
    assert found.trees["ds"]["train_batch_size"] == "auto"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--bf16", "maybe"], "argument --bf16: Truthy value expected"),
        (["--max_steps", "ten"], "argument --max_steps/--max-steps: invalid int value: 'ten'"),
        (["--learning_rate"], "argument --learning_rate/--learning-rate: expected one argument"),
        (
            ["--lr_scheduler_type", "x"],
            "argument --lr_scheduler_type/--lr-scheduler-type: invalid choice: 'x'",
        ),
        (["--per_device", "1"], "ambiguous option: --per_device could match"),
    ],
)
def test_what_argparse_refuses(words: list[str], problem: str) -> None:
    assert problem in read(PARSED, *words).trees["parser"]["refused"]


def test_words_that_nobody_takes() -> None:
    assert read(PARSED, "--rank", "8", "--bf16").trees["parser"] == {"left": ["--rank", "8"]}


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        ("'none.json'", "ValueError", "Expected a string path"),
        ("'{\"a\": }'", "JSONDecodeError", "Expecting value"),
        ("'list.json'", "AttributeError", "'list' object has no attribute 'get'"),
        ("'bad.json'", "JSONDecodeError", "Expecting property name"),
    ],
)
def test_a_config_that_cannot_be_read(value: str, kind: str, message: str) -> None:
    script = LITERAL.replace('"ds.json"', value)
    found = read(script, files={"list.json": "[1]", "bad.json": "{ // ours\n}"})
    assert "ds" not in found.trees
    problem = found.trees["dsfile"]["problem"]
    assert problem["type"] == kind
    assert message in problem["message"]


def test_a_config_as_text_converts_numbers() -> None:
    script = LITERAL.replace('"ds.json"', """'{"a": "8", "b": {"c": "true", "d": "1.5", "e": "auto"}}'""")
    assert read(script).trees["ds"] == {"a": 8, "b": {"c": True, "d": 1.5, "e": "auto"}}


def test_files_become_a_command() -> None:
    memory = {
        "train.py": LITERAL,
        "acc.yaml": "distributed_type: DEEPSPEED\n",
        "args.json": '{"output_dir": "o"}',
    }
    files = Files(memory=memory)

    def command(*given_files: str) -> Any:
        guess = READER.command_of(Setup(files, given=given_files))
        return guess and guess.words

    assert command("train.py") == ("torchrun", "train.py")
    assert command("train.py", "acc.yaml") == (
        "accelerate",
        "launch",
        "--config_file",
        "acc.yaml",
        "train.py",
    )
    assert command("args.json") == ("torchrun", "args.json")
    assert command("acc.yaml") is None


def test_the_table_of_arguments_by_version() -> None:
    assert "warmup_ratio" in table.fields("4.51.3")
    assert "warmup_ratio" not in table.fields("5.23.0")
    assert table.defaults("5.23.0")["per_device_train_batch_size"] == 8
    assert "cosine" in table.enum("SchedulerType", "4.51.3")


WORD = st.text(alphabet="-=_ abflo16\\n", max_size=8)


@given(st.lists(st.one_of(WORD, st.sampled_from(["--bf16", "--max_steps", "-1", "--no_", "3"])), max_size=6))
@settings(max_examples=200, deadline=None)
def test_no_words_crash_the_parser(words: list[str]) -> None:
    options = [flags.option_of(name, row) for name, row in table.fields("5.23.0").items()]
    try:
        flags.parse(words, options)
    except flags.Bad as error:
        assert str(error)


LINE = st.sampled_from(
    [*LITERAL.splitlines(), *PARSED.splitlines(), "for i in range(3):", "    x = i", "args.seed = 1",
     "args = TrainingArguments(**x)", "model = None", "trainer.train(", "class Rows(list): pass"]
)  # fmt: skip


@given(st.lists(LINE, max_size=12), st.lists(WORD, max_size=3))
@settings(max_examples=150, deadline=None)
def test_no_script_crashes_the_reader(lines: list[str], words: list[str]) -> None:
    from dsbridge.diagnostics import InputError

    memory = {"train.py": "\n".join(lines), "ds.json": DS}
    try:
        READER.read(Setup(Files(memory=memory), words=Words(("train.py", *words), 2)))
    except InputError as error:
        assert error.diagnostics


def test_a_batch_that_nobody_has_recorded_is_not_told() -> None:
    """Ulysses under the Trainer: how its ranks share samples then is not known, so no number is given."""
    from dsbridge.explaining import explain

    script = "from transformers import Trainer, TrainingArguments\n"
    script += "args = TrainingArguments(output_dir='o', deepspeed='ds.json')\n"
    script += "Trainer(args=args, train_dataset=d, model=m).train()\n"
    ds = '{"zero_optimization": {"stage": 2}, "train_micro_batch_size_per_gpu": "auto"}'
    files = Files(memory={"t.py": script, "ds.json": ds})
    command = ["torchrun", "--nproc_per_node", "4", "t.py"]
    assert explain(files, command=command).batch["global"] == 32
    batch = explain(files, command=["PARALLELISM_CONFIG_SP_SIZE=2", *command]).batch
    assert (batch["data_parallel"], batch["global"]) == (None, None)
