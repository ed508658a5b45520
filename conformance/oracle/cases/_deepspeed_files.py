"""Scripts and ds_configs of the bare DeepSpeed cases, as users write them."""

from __future__ import annotations

import copy
import json
import pprint
from collections.abc import Mapping, Sequence
from typing import Any

from conformance.oracle.case import Case

Config = dict[str, Any]
GONE: Any = object()  # a dotted key with this value is taken out

# What most cases change one thing of.
BASE: Config = {
    "train_micro_batch_size_per_gpu": 2,
    "gradient_accumulation_steps": 2,
    "bf16": {"enabled": True},
    "zero_optimization": {"stage": 2},
    "optimizer": {"type": "AdamW", "params": {"lr": 1e-4}},
}

HEAD = """\
import deepspeed
import torch
from transformers import AutoModelForCausalLM
"""
MODEL = 'model = AutoModelForCausalLM.from_pretrained("model")\n'
ARGUMENTS = """
parser = argparse.ArgumentParser()
parser.add_argument("--local_rank", type=int, default=-1)
parser = deepspeed.add_config_arguments(parser)
args = parser.parse_args()
"""


def changed(base: Mapping[str, Any], changes: Mapping[str, Any]) -> Config:
    """The config with each dotted key set, or taken out."""
    config = copy.deepcopy(dict(base))
    for dotted, value in changes.items():
        *parents, last = dotted.split(".")
        node = config
        for name in parents:
            node = node.setdefault(name, {})
        if value is GONE:
            node.pop(last, None)
        else:
            node[last] = copy.deepcopy(value)
    return config


def call(**arguments: str) -> str:
    """`deepspeed.initialize(...)` with these arguments as source text."""
    given = {"model": "model", "model_parameters": "model.parameters()", **arguments}
    lines = "".join(f"    {name}={text},\n" for name, text in given.items() if text)
    return f"engine, optimizer, _, scheduler = deepspeed.initialize(\n{lines})\n"


def script(before: str = "", **arguments: str) -> str:
    """A training script; `before` stands between the model and the call."""
    return f"{HEAD}\n{MODEL}{before}{call(**arguments)}"


def args_script(before: str = "", **arguments: str) -> str:
    """A script that takes `--deepspeed_config` from its own command line."""
    text = f"import argparse\n\n{HEAD}{ARGUMENTS}{MODEL}{before}"
    return text + call(**{"args": "args", **arguments})


def literal(config: Any) -> str:
    """The config as a literal in the script."""
    return pprint.pformat(config, sort_dicts=False, width=90)


def case(name: str, files: Mapping[str, str], command: Sequence[str] = (), **rest: Any) -> Case:
    """One case; without a command, torchrun starts `train.py` on every rank."""
    world = rest.get("world_size", 2)
    words = list(command) or ["torchrun", "--nproc_per_node", str(world), "train.py"]
    return {
        "id": f"deepspeed/{name}",
        "framework": "deepspeed",
        "files": dict(files),
        "command": words,
        "world_size": world,
        **rest,
    }


def with_file(name: str, config: Any, text: str = "", **rest: Any) -> Case:
    """The config in `ds.json`; a text is a script that reads it in some other way."""
    body = config if isinstance(config, str) else json.dumps(config, indent=2)
    return case(name, {"ds.json": body, "train.py": text or script(config='"ds.json"')}, **rest)
