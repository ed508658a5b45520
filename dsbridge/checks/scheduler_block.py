"""A scheduler block in the DeepSpeed config beats lr_scheduler_type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dsbridge.deepspeed.scheduler import TYPES
from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.subjects.contract import Check, Example
from dsbridge.subjects.subject import Subject
from dsbridge.trees import lookup

RULES = frozenset({"TR214"})  # the Trainer's, and LLaMA-Factory's
BEATS = Code("CK201", "scheduler-block-wins", Severity.WARNING, "A scheduler block beats lr_scheduler_type.")
_NAME = "lr_scheduler_type"
# What each curve of DeepSpeed does behind its warm-up (deepspeed/runtime/lr_schedules.py).
_DOES = {
    "WarmupLR": "warms up and then stays where it is",
    "WarmupDecayLR": "warms up and then falls in a straight line",
    "WarmupCosineLR": "warms up and then falls as a cosine",
    "OneCycle": "runs through one cycle",
    "LRRangeTest": "only grows, to find a rate",
}


def _run(subject: Subject) -> Iterator[Diagnostic]:
    at = subject.wrote(f"args.{_NAME}")
    block = lookup(subject.explanation.trees, "ds.scheduler") if subject.explanation else None
    if at is None or not isinstance(block, Mapping) or not isinstance(kind := block.get("type"), str):
        return
    asked = subject.tree(f"args.{_NAME}")
    if kind not in _DOES or TYPES.get(str(asked)) == kind:
        return
    place = subject.place("ds.scheduler")
    yield BEATS(
        f"{_NAME} = {asked!r} has no effect: the scheduler block ({place}) makes DeepSpeed build {kind}, "
        f"which {_DOES[kind]}; nothing warns of it (TR214)",
        hint=f"Remove the `scheduler` block from the DeepSpeed config to train with {asked}, or take {_NAME} "
        f"out to train with {kind}.",
        key=_NAME,
        at=at,
        severity=Severity.INFO if asked == "constant" and kind == "WarmupLR" else None,
    )


_DS = """{"zero_optimization": {"stage": 2}, "train_micro_batch_size_per_gpu": "auto",
 "scheduler": {"type": "%s", "params": {"warmup_min_lr": "auto", "warmup_max_lr": "auto",
  "warmup_num_steps": "auto"%s}}}"""
_COMMAND = "torchrun --nproc_per_node 2 train.py --output_dir o --deepspeed ds.json --lr_scheduler_type %s"
CHECKS = (
    Check(
        code=BEATS,
        run=_run,
        why="The rate follows the block's curve: with WarmupLR it never falls, whatever the arguments say.",
        hint="Keep one of the two; without a block the Trainer's schedule drives DeepSpeed's optimizer too.",
        fires=Example({"ds.json": _DS % ("WarmupLR", "")}, _COMMAND % "cosine"),
        holds=Example(
            {"ds.json": _DS % ("WarmupDecayLR", ', "total_num_steps": "auto"')}, _COMMAND % "linear"
        ),
        pains=(2,),
    ),
)
