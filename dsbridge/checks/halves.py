"""Optimizer and scheduler, half in the DeepSpeed config and half in the script."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.subjects.contract import Check, Example
from dsbridge.subjects.subject import Subject

HALVES = Code("CK211", "optimizer-half-set", Severity.ERROR, "Config and script do not go together.")


class _Half(NamedTuple):
    """One way to mix them. part: the block it is about; said: what stands where, and what to do."""

    part: str
    said: str
    hint: str


_WAYS = {
    "ACC223": _Half(
        "optimizer",
        "the config has an `optimizer` block{block}, and the script passes an optimizer of its own{own}",
        "Take the `optimizer` block out to train with the script's, or pass accelerate.utils.DummyOptim.",
    ),
    "ACC224": _Half(
        "optimizer",
        "the script passes DummyOptim{own}, and the config has no `optimizer` block for it to stand for",
        'Write an "optimizer" block (the lr may be "auto"), or pass a torch optimizer.',
    ),
    "ACC225": _Half(
        "scheduler",
        "the config has a `scheduler` block{block}, and the script passes a scheduler of its own{own}",
        "Take the `scheduler` block out to train with the script's, or pass accelerate.utils.DummyScheduler.",
    ),
    "ACC226": _Half(
        "scheduler",
        "the script passes DummyScheduler{own}, and the config has no `scheduler` block",
        'Write a "scheduler" block, or give DummyScheduler its lr_scheduler_callable.',
    ),
    "ACC227": _Half(
        "scheduler",
        "the script passes DummyOptim and a real scheduler{own}, which would drive an optimizer that "
        "DeepSpeed never sees",
        "Pass DummyScheduler(optimizer, lr_scheduler_callable=...), or a torch optimizer.",
    ),
}


def _run(subject: Subject) -> Iterator[Diagnostic]:
    refused = subject.refusal(*_WAYS)
    if refused is None or subject.input is None or subject.script_assumed:
        return  # what a script passes that nobody shows is a guess
    way = _WAYS[refused.rule.code]
    block = subject.place(f"ds.{way.part}") if subject.written(way.part) else None
    own = (
        subject.at(f"prepared.{way.part}")
        or subject.at(f"says.{way.part}")
        or subject.wrote("says.optimizer.lr")
    )
    places = {"block": f" ({block})" if block else "", "own": f" ({own})" if own else ""}
    yield HALVES(
        f"{way.said.format(**places)}: {subject.input.framework.title} stops with {refused.type} "
        f"({refused.rule.code})",
        hint=way.hint,
        key=way.part,
        at=block or own,
    )


_DS = """{"zero_optimization": {"stage": 2}, "train_micro_batch_size_per_gpu": "auto",
 "gradient_accumulation_steps": 1, "optimizer": {"type": "AdamW", "params": {"lr": "auto"}}}"""
_YAML = """compute_environment: LOCAL_MACHINE
distributed_type: DEEPSPEED
deepspeed_config:
  deepspeed_config_file: ds.json
  zero3_init_flag: false
num_processes: 4
"""
_SCRIPT = """import torch
from accelerate import Accelerator
from accelerate.utils import DummyOptim

accelerator = Accelerator()
optimizer = %s(model.parameters(), lr=1e-4)
loader = torch.utils.data.DataLoader(rows, batch_size=4)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
"""
_COMMAND = "accelerate launch --config_file accelerate.yaml train.py"
CHECKS = (
    Check(
        code=HALVES,
        run=_run,
        why="prepare() compares both after the model is loaded, and stops.",
        hint="One side makes the optimizer: a block with DummyOptim, or a torch optimizer without a block. "
        "The Trainer takes a block with or without its own scheduler.",
        fires=Example(
            {"accelerate.yaml": _YAML, "ds.json": _DS, "train.py": _SCRIPT % "torch.optim.AdamW"}, _COMMAND
        ),
        holds=Example(
            {"accelerate.yaml": _YAML, "ds.json": _DS, "train.py": _SCRIPT % "DummyOptim"}, _COMMAND
        ),
        pains=(12,),
        explains=tuple(_WAYS),
    ),
)
