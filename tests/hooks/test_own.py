"""What this process runs, read from the process itself."""

from __future__ import annotations

import enum
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dsbridge.against import set_by
from dsbridge.hooks import own
from dsbridge.prediction import predict

SCRIPT = """from transformers import Trainer, TrainingArguments

args = TrainingArguments(output_dir="out", max_grad_norm=0.3, bf16=True, deepspeed="ds.json")
trainer = Trainer(model, args, train_dataset=rows)
trainer.train()
"""
DS = """{"train_micro_batch_size_per_gpu": "auto", "gradient_clipping": "auto",
"zero_optimization": {"stage": 2}}"""
SEEN = {"world_size": 2, "versions": {}}


class Speed(enum.Enum):
    FAST = "adamw_torch_fused"


@dataclass
class Arguments:
    """A class of arguments like anybody's; Transformers' own is one of these."""

    output_dir: str = "out"
    max_grad_norm: float = 1.0
    per_device_train_batch_size: int = 8
    bf16: bool = False
    optim: Any = "adamw_torch"
    deepspeed: Any = None


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`torchrun --nproc_per_node 2 train.py --seed 1`, seen from a rank."""
    (tmp_path / "train.py").write_text(SCRIPT)
    (tmp_path / "ds.json").write_text(DS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    monkeypatch.setattr(sys, "orig_argv", [sys.executable, "-u", "train.py", "--seed", "1"])
    return tmp_path


@pytest.mark.usefixtures("running")
def test_the_command_has_its_launcher_back_and_nothing_of_the_rank() -> None:
    words = own.command()
    at = words.index("torchrun")
    assert words[at:] == ["torchrun", "--nproc_per_node", "2", "train.py", "--seed", "1"]
    names = {word.partition("=")[0] for word in words[:at]}
    assert "ACCELERATE_MIXED_PRECISION" in names
    assert not names & {"RANK", "WORLD_SIZE"}


@pytest.mark.usefixtures("running")
def test_its_prediction_knows_the_line_of_the_script() -> None:
    (found,) = own.own_predictions(SEEN)
    (story,) = [entry for entry in found.fields if entry.path == "gradient_clipping"]
    assert (story.value, str(story.source)) == (0.3, "train.py:3")


@pytest.mark.parametrize("words", [["-c", "print()"], ["gone.py"], [], ["-"], ["notebook"]])
def test_a_program_that_cannot_be_read_has_no_prediction(
    words: list[str], running: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "orig_argv", [sys.executable, *words])
    assert list(own.own_predictions(SEEN)) == []


@pytest.mark.parametrize("flag", ["--max_grad_norm 0.7", "--max_grad_norm=0.7"])
def test_a_flag_is_named_by_its_word(flag: str, running: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (running / "flags.py").write_text(
        "from transformers import HfArgumentParser, Trainer, TrainingArguments\n"
        "args, = HfArgumentParser(TrainingArguments).parse_args_into_dataclasses()\n"
        "trainer = Trainer(model, args, train_dataset=rows)\ntrainer.train()\n"
    )
    words = ["flags.py", "--output_dir", "out", *flag.split(), "--deepspeed", "ds.json"]
    monkeypatch.setattr(sys, "orig_argv", [sys.executable, *words])
    (found,) = own.own_predictions(SEEN)
    seen = {"config": {"gradient_clipping": 0.7}}
    assert set_by("gradient_clipping", 0.7, found, seen).startswith(f"`{flag}` of the command: ")


@pytest.mark.usefixtures("running")
def test_live_arguments_come_to_what_they_would_in_a_script() -> None:
    arguments = Arguments(max_grad_norm=0.3, bf16=True, deepspeed="ds.json", optim=Speed.FAST)
    found, written = own.of_arguments(arguments, SEEN), predict((), ["python", "train.py"], facts=SEEN)
    assert found is not None
    same = {entry.path: entry.value for entry in written.fields}
    assert {entry.path: entry.value for entry in found.fields} == same
    (story,) = [entry for entry in found.fields if entry.path == "gradient_clipping"]
    assert own.named(str(story.source), arguments) == "`max_grad_norm=0.3` of the live TrainingArguments"


@pytest.mark.usefixtures("running")
def test_a_deepspeed_dict_of_live_arguments() -> None:
    given = {"train_micro_batch_size_per_gpu": 4, "zero_optimization": {"stage": 1}}
    arguments = Arguments(deepspeed=given)
    found = own.of_arguments(arguments, SEEN)
    assert found is not None
    (story,) = [entry for entry in found.fields if entry.path == "zero_optimization.stage"]
    assert story.value == 1
    assert (
        own.named(str(story.source), arguments)
        == "the `deepspeed` dict of the live TrainingArguments, line 4"
    )


def test_what_was_not_asked_is_not_said() -> None:
    assert own.settings(Arguments()) == {}
    assert own.settings(Arguments(optim=Speed.FAST)) == {"optim": "adamw_torch_fused"}
    assert own.settings(object()) == {}


def test_other_places_stay_as_they_are() -> None:
    assert own.named("train.py:3: why", Arguments()) == "train.py:3: why"
