"""XTuner's reader: the command, the flags, the config, --cfg-options."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsbridge.diagnostics import InputError
from dsbridge.explaining import Explanation, explain
from dsbridge.reading import Files
from dsbridge.values import Unknown
from dsbridge_xtuner.configs import read_config
from dsbridge_xtuner.flags import option_value, read_flags
from dsbridge_xtuner.merging import Refused, merge, nested

CONFIG = """\
import torch
from mmengine.optim import AmpOptimWrapper
from torch.optim import AdamW
from xtuner.engine.runner import TrainLoop

batch_size = 2
max_norm = 0.5
model = dict(type=torch.nn.Linear)
train_dataloader = dict(batch_size=batch_size)
optim_wrapper = dict(
    type=AmpOptimWrapper,
    optimizer=dict(type=AdamW, lr=2e-4),
    clip_grad=dict(max_norm=max_norm),
    accumulative_counts=4,
)
train_cfg = dict(type=TrainLoop, max_epochs=1)
env_cfg = dict(dist_cfg=dict(backend="nccl"))
"""
DS = {"zero_optimization": {"stage": 2}, "gradient_clipping": 1.0, "bf16": {"enabled": "auto"}}


def told(*words: str, text: str = CONFIG, **facts: Any) -> Explanation:
    memory = {"cfg.py": text, "ds.json": json.dumps(DS)}
    return explain(Files(memory=memory), command=words, facts=facts, versions={"deepspeed": "0.16.2"})


def tree(text: str, **memory: str) -> Any:
    return read_config(Files(memory={"cfg.py": text, **memory}), "cfg.py", {}).tree


def test_the_config_wins_over_the_file() -> None:
    found = told("NPROC_PER_NODE=4", "xtuner", "train", "cfg.py", "--deepspeed", "ds.json")
    assert found.framework == "xtuner"
    assert found.config["train_micro_batch_size_per_gpu"] == 2
    assert found.config["gradient_accumulation_steps"] == 4
    assert found.config["gradient_clipping"] == 0.5
    assert found.config["bf16"] == {"enabled": True}
    assert found.batch["global"] == 32
    clipping = next(field for field in found.fields if field.path == "gradient_clipping")
    assert clipping.requested == 1.0
    assert [step.rule.code for step in clipping.steps] == ["XT157"]


def test_files_alone() -> None:
    memory = {"cfg.py": CONFIG, "ds.json": json.dumps(DS)}
    found = explain(Files(memory=memory), ["cfg.py", "ds.json"], facts={"world_size": 2})
    assert found.framework == "xtuner"
    assert found.config["gradient_clipping"] == 0.5
    without = explain(Files(memory=memory), ["cfg.py", "ds.json"])
    assert "world_size" not in without.facts


def test_options_reach_the_config_and_their_place_is_the_command() -> None:
    words = ("NPROC_PER_NODE=2", "xtuner", "train", "cfg.py", "--deepspeed", "ds.json", "--cfg-options")
    found = told(*words, "train_dataloader.batch_size=3", "max_norm=9")
    assert found.config["train_micro_batch_size_per_gpu"] == 3
    assert found.config["gradient_clipping"] == 0.5
    place = found.input.reading.sources["cfg.train_dataloader.batch_size"]
    assert (place.file, place.column) == ("command", 8)


def test_a_value_keeps_the_line_where_its_variable_is_set() -> None:
    found = read_config(Files(memory={"cfg.py": CONFIG}), "cfg.py", {})
    assert found.sources["cfg.train_dataloader.batch_size"].line == 6
    assert found.sources["cfg.optim_wrapper.accumulative_counts"].line == 14


def test_imported_names_keep_their_class() -> None:
    kind = tree(CONFIG)["optim_wrapper"]["optimizer"]["type"]
    assert kind == {"name": "torch.optim.AdamW", "class": "torch.AdamW"}


def test_what_depends_on_a_run_is_unknown_by_its_path() -> None:
    value = tree("from xtuner import x\na = dict(b=max(1, 2))")["a"]["b"]
    assert value == Unknown(frozenset({"cfg.a.b"}))


def test_bases_are_read_and_keep_their_places() -> None:
    text = "from mmengine.config import read_base\nwith read_base():\n    from .base import *\na = 3\n"
    files = Files(memory={"cfg.py": text, "base.py": "from xtuner import x\na = 1\nb = 2\n"})
    found = read_config(files, "cfg.py", {})
    assert found.tree["a"] == 3
    assert found.tree["b"] == 2
    assert (found.sources["cfg.a"].file, found.sources["cfg.a"].line) == ("cfg.py", 4)
    assert (found.sources["cfg.b"].file, found.sources["cfg.b"].line) == ("base.py", 3)


def test_a_base_that_comes_with_xtuner() -> None:
    text = (
        "from mmengine.config import read_base\nwith read_base():\n"
        "    from xtuner.configs.internlm.internlm2_7b.internlm2_7b_qlora_alpaca_e3 import *\n"
        "train_dataloader.update(batch_size=4)\n"
        "optim_wrapper.update(dict(optimizer=dict(lr=1), clip_grad=None))\n"
        "mine = dict(a=dict(b=1))\n"
        "mine.update(dict(a=dict(c=2)))\n"
    )
    found = tree(text)
    assert (found["optim_wrapper"]["optimizer"]["lr"], found["optim_wrapper"]["clip_grad"]) == (1, None)
    assert found["mine"] == {"a": {"c": 2}}, "a dict of its own is Python's"
    assert found["train_dataloader"]["batch_size"] == 4
    assert found["optim_wrapper"]["accumulative_counts"] == 16
    assert found["optim_wrapper"]["optimizer"]["type"]["class"] == "torch.AdamW"
    assert tree(text.replace("_e3", "_e4")).get("optim_wrapper") is None


def test_a_config_without_imports_is_merged_into_its_bases() -> None:
    one = "model = dict(type='A', lora=dict(r=8, bias='none'))\ntrain_cfg = dict(max_epochs=3)\n"
    two = "_base_ = './one.py'\ntrain_dataloader = dict(batch_size=2)\n"
    text = "_base_ = ['base/two.py']\nmodel = dict(lora=dict(r=16))\n"
    text += "train_cfg = dict(_delete_=True, max_iters=9)\n"
    found = read_config(Files(memory={"cfg.py": text, "base/one.py": one, "base/two.py": two}), "cfg.py", {})
    assert found.tree == {
        "model": {"type": "A", "lora": {"r": 16, "bias": "none"}},
        "train_cfg": {"max_iters": 9},
        "train_dataloader": {"batch_size": 2},
    }
    assert found.sources["cfg.train_dataloader.batch_size"].file == "base/two.py"
    assert found.sources["cfg.model.lora.r"].file == "cfg.py"
    itself = read_config(Files(memory={"cfg.py": "_base_ = 'cfg.py'\nlr = 1"}), "cfg.py", {})
    assert itself.tree == {"lr": 1}
    wrong = {"cfg.py": "_base_ = 'a.py'\nlr = dict(a=1)", "a.py": "lr = 1"}
    assert (read_config(Files(memory=wrong), "cfg.py", {}).problem or {})["type"] == "TypeError"


def test_a_base_that_inherits_from_itself_ends() -> None:
    text = "from mmengine.config import read_base\nwith read_base():\n    from .cfg import *\na = 1\n"
    assert tree(text)["a"] == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), ("1e-5", 1e-5), ("true", True), ("None", None), ("none", "none"), ("a", "a"),
        ("1,2", [1, 2]), ("[1,2]", [1, 2]), ("(0.9,0.95)", (0.9, 0.95)), ("[(1,2),[3]]", [(1, 2), [3]]),
        ("'x'", "x"), ("", ""),
    ],
)  # fmt: skip
def test_option_values(text: str, value: Any) -> None:
    assert option_value(text) == value


def test_options_below_lists_and_scalars() -> None:
    assert merge(nested({"a.1.b": 2}), {"a": [{}, {"b": 1}]}) == {"a": [{}, {"b": 2}]}
    assert merge(nested({"a._delete_": True, "a.x": 1}), {"a": {"b": 1}}) == {"a": {"x": 1}}
    with pytest.raises(Refused) as end:
        merge(nested({"a.b": 1}), {"a": 5})
    assert end.value.kind == "TypeError"
    with pytest.raises(Refused) as end:
        merge(nested({"a.7": 1}), {"a": [1]})
    assert end.value.kind == "KeyError"


def test_flags_that_cannot_be_read() -> None:
    for words in (["--nope"], ["cfg.py", "--seed", "x"], [], ["cfg.py", "--launcher", "x"]):
        problem = read_flags(words).problem
        assert problem is not None
        assert problem["type"] == "SystemExit"
        assert problem["fields"]
    assert read_flags(["cfg.py", "--cfg-options", "a"]).problem is not None
    assert read_flags(["--help"]).values == {"help": True}


def test_help_trains_nothing() -> None:
    found = told("NPROC_PER_NODE=x", "xtuner", "train", "cfg.py", "--deepspeed", "ds.json")
    assert found.config is None
    assert found.error is None


def test_a_config_that_is_no_python() -> None:
    with pytest.raises(InputError, match="not valid Python"):
        told("NPROC_PER_NODE=2", "xtuner", "train", "cfg.py", "--deepspeed", "ds.json", text="a = (")


def test_slurm_says_how_many_ranks() -> None:
    words = ("SLURM_PROCID=0", "SLURM_NTASKS=6", "xtuner", "train", "cfg.py", "--deepspeed", "ds.json")
    assert told(*words, "--launcher", "slurm").facts["world_size"] == 6


@settings(max_examples=60)
@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InputError):
        read_config(Files(memory={"cfg.py": text}), "cfg.py", {})


@settings(max_examples=60)
@given(st.lists(st.text(max_size=12), max_size=6))
def test_any_flags_are_read_or_refused(words: list[str]) -> None:
    found = read_flags(words)
    assert found.problem or found.values
