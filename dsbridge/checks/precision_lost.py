"""A number format that was asked for, and the run has another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.provenance import Source
from dsbridge.subjects.contract import Check, Example
from dsbridge.subjects.subject import Subject

LOST = Code("CK214", "precision-lost", Severity.WARNING, "The run has another number format than was asked.")
# Where a format is asked for beside the config, the strongest last.
_ASKS = (
    "yaml.mixed_precision",
    "env.ACCELERATE_MIXED_PRECISION",
    "flags.mixed_precision",
    "accelerator.mixed_precision",
    "args.fp16",
    "args.bf16",
)
_FORMATS = ("fp16", "bf16")


def _run(subject: Subject) -> Iterator[Diagnostic]:
    if subject.explanation is None or subject.stops or subject.explanation.config is None:
        return
    on = {name: subject.effective(f"{name}.enabled") for name in _FORMATS}
    if not all(isinstance(value, bool) for value in on.values()):
        return
    have = next((name for name in _FORMATS if on[name]), "")
    told: set[Source] = set()
    for path in _ASKS:
        asked, at = _asked(path, subject.tree(path)), subject.wrote(path)
        if asked and at is not None and asked != have and at not in told:
            told.add(at)
            yield _finding(subject, path, asked, have, at)


def _asked(path: str, value: Any) -> str:
    """The format of a place: "" for none, and for `no`, which every YAML of `accelerate config` says."""
    if path.startswith("args."):
        return path.partition(".")[2] if value is True else ""
    return value if value in _FORMATS else ""


def _finding(subject: Subject, path: str, asked: str, have: str, at: Source) -> Diagnostic:
    name = path.partition(".")[2]
    block = f"{asked}.enabled"
    off = subject.written(block) is False
    why = f"{block} is false ({subject.place(f'ds.{block}')})" if off else f"{_winner(subject, have)} wins"
    trains = f"trains in {have}" if have else "has no mixed precision: weights train as they were loaded"
    hint = (
        f'Write "enabled": "auto" at {asked} in the DeepSpeed config.'
        if off
        else "Say one format in all places."
    )
    return LOST(
        f"{name} asks for {asked}, and the engine {trains}; {why}, and nothing warns of it",
        hint=hint,
        key=name,
        at=at,
    )


def _winner(subject: Subject, have: str) -> str:
    """Who asks for the format that holds."""
    for path in reversed(_ASKS):
        at = subject.wrote(path)
        if at is not None and have and _asked(path, subject.tree(path)) == have:
            return f"{path.partition('.')[2]} = {subject.tree(path)!r} ({at})"
    place = subject.place(f"ds.{have}.enabled") if have else None
    return f"the DeepSpeed config ({place})" if place else "the DeepSpeed config"


_DS = """{"zero_optimization": {"stage": 2}, "train_micro_batch_size_per_gpu": "auto",
 "gradient_accumulation_steps": 1, "bf16": {"enabled": %s}}"""
_YAML = """compute_environment: LOCAL_MACHINE
distributed_type: DEEPSPEED
deepspeed_config:
  deepspeed_config_file: ds.json
  zero3_init_flag: false
num_processes: 4
"""
_SCRIPT = """import torch
from accelerate import Accelerator

accelerator = Accelerator(mixed_precision="bf16")
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
loader = torch.utils.data.DataLoader(rows, batch_size=4)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
"""
_COMMAND = "accelerate launch --config_file accelerate.yaml train.py"
CHECKS = (
    Check(
        code=LOST,
        run=_run,
        why="The run takes another number format than was asked, or none: float32 weights then take twice "
        "the memory and twice the time, and the loss differs.",
        hint='Ask for the format once, and write "auto" in the config\'s fp16 and bf16 blocks.',
        fires=Example({"accelerate.yaml": _YAML, "ds.json": _DS % "false", "train.py": _SCRIPT}, _COMMAND),
        holds=Example({"accelerate.yaml": _YAML, "ds.json": _DS % '"auto"', "train.py": _SCRIPT}, _COMMAND),
        pains=(6, 18),
    ),
)
