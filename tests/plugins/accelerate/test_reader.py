"""A script with its own Accelerator, read into the trees of the rules."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsbridge.diagnostics import InputError
from dsbridge.explaining import explain
from dsbridge.reading import Files, Setup, Words
from dsbridge.values import Unknown
from dsbridge_accelerate.reader import READER

SCRIPT = """\
import torch
from accelerate import Accelerator, DeepSpeedPlugin
from accelerate.utils import DummyOptim, DummyScheduler
from torch.utils.data import DataLoader
from transformers import AutoModelForCausalLM

plugin = DeepSpeedPlugin(hf_ds_config="ds.json", zero_stage=3)
accelerator = Accelerator(mixed_precision="bf16", gradient_accumulation_steps=4, deepspeed_plugin=plugin)
model = AutoModelForCausalLM.from_pretrained("model")
loader = DataLoader([1, 2, 3], 6)
optimizer = DummyOptim(model.parameters(), lr=2e-4)
scheduler = DummyScheduler(optimizer, total_num_steps=100)
model, optimizer, loader, scheduler = accelerator.prepare(model, optimizer, loader, scheduler)
"""
FILES = {
    "train.py": SCRIPT,
    "ds.json": '{"zero_optimization": {"stage": 2}, "train_micro_batch_size_per_gpu": "auto"}',
    "model/config.json": '{"hidden_size": 64}',
}


def read(script: str = SCRIPT, **environ: str) -> Any:
    files = Files(memory={**FILES, "train.py": script})
    return READER.read(Setup(files, environ=environ, words=Words(("train.py", "--size", "3"))))


def test_the_trees_of_a_script() -> None:
    found = read()
    trees = found.trees
    assert trees["ds"]["zero_optimization"] == {"stage": 2}
    assert trees["plugin"] == {"built": True, "zero_stage": 3, "asked": {"zero_stage": 3}}
    assert trees["accelerator"] == {
        "mixed_precision": "bf16",
        "gradient_accumulation_steps": 4,
        "asked_steps": 4,
    }
    assert trees["prepared"] == {
        "loaders": [{"batch_size": 6}],
        "model": {"config": True, "sharded": True},
        "optimizer": {"dummy": True, "lr": 2e-4, "weight_decay": 0},
        "scheduler": {"dummy": True, "lr": 2e-4, "total_num_steps": 100},
    }
    assert trees["model"] == {"hidden_size": 64}
    assert found.sources["plugin.zero_stage"].line == 7
    assert found.sources["prepared.loaders.0.batch_size"].line == 10
    assert found.sources["ds.train_micro_batch_size_per_gpu"].file == "ds.json"


@pytest.mark.parametrize(
    ("old", "new", "path", "value"),
    [
        ('"ds.json"', '{"zero_optimization": {"stage": 1}}', ("ds", "zero_optimization"), {"stage": 1}),
        ('"ds.json"', "load()", ("ds",), Unknown(frozenset({"ds"}))),
        ("[1, 2, 3], 6", "[1, 2, 3]", ("prepared", "loaders"), [{"batch_size": 1}]),
        (
            "[1, 2, 3], 6",
            "[1], batch_size=None",
            ("prepared", "loaders"),
            [{"batch_size": None, "unbatched": True}],
        ),
        ("[1, 2, 3], 6", "[1], batch_sampler=s", ("prepared", "loaders"), [{"batch_size": None}]),
        ("DummyOptim(model.parameters(), lr=2e-4)", "torch.optim.SGD(model.parameters(), lr=1)",
         ("prepared", "optimizer"), {"class": "torch.SGD"}),
        ("DummyScheduler(optimizer, total_num_steps=100)", "torch.optim.lr_scheduler.StepLR(optimizer, 10)",
         ("prepared", "scheduler"), {"class": "torch.StepLR", "name": "StepLR"}),
        ('AutoModelForCausalLM.from_pretrained("model")', "torch.nn.Linear(2, 2)", ("prepared", "model"),
         {"config": False, "sharded": False}),
        ('from_pretrained("model")', 'from_pretrained("hub/name")', ("model",), {}),
        ("zero_stage=3", "stage=3", ("plugin", "strange"), "stage"),
    ],
)  # fmt: skip
def test_one_change_of_the_script(old: str, new: str, path: tuple[str, ...], value: Any) -> None:
    found: Any = read(SCRIPT.replace(old, new)).trees
    for name in path:
        found = found[name]
    assert found == value


def test_files_alone() -> None:
    guess = READER.command_of(Setup(Files(memory={"acc.yaml": "distributed_type: DEEPSPEED"}), ("acc.yaml",)))
    assert guess is not None
    assert guess.words == ("accelerate", "launch", "--config_file", "acc.yaml", "YOUR_SCRIPT")
    text = (
        "distributed_type: DEEPSPEED\nnum_processes: 4\nmixed_precision: bf16\n"
        "deepspeed_config: {zero_stage: 2, gradient_accumulation_steps: 8}\n"
    )
    found = explain(Files(memory={"acc.yaml": text}), ["acc.yaml"])
    assert found.framework == "accelerate"
    assert found.config["gradient_accumulation_steps"] == 8
    assert "train_micro_batch_size_per_gpu" in found.unknown
    assert found.facts["world_size"] == 4


def test_what_is_no_script() -> None:
    with pytest.raises(InputError):
        read("accelerator = Accelerator(")
    assert READER.recognises(Setup(Files(memory={"a.py": "print(1)"}), words=Words(("a.py",)))) == 0
    assert READER.recognises(Setup(Files(memory=FILES), words=Words(("train.py",)))) == 2


@given(st.text())
def test_no_script_crashes_it(text: str) -> None:
    for script in (text, SCRIPT + text):
        with contextlib.suppress(InputError):
            read(script)


PIECES = ("accelerator", "plugin", "loader", "(", ")", "=", "None", ",", "[", "]", "{", "}", "\n", "model")


@given(st.lists(st.sampled_from((*SCRIPT.splitlines(keepends=True), *PIECES)), max_size=20))
def test_no_pieces_of_a_script_crash_it(pieces: list[str]) -> None:
    with contextlib.suppress(InputError):
        read("".join(pieces))
