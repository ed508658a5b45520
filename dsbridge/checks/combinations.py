"""Releases that break each other, where this input comes by the place."""

from __future__ import annotations

from collections.abc import Iterator

from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.subjects.combinations import BUCKETS, NO_SYNC, NO_SYNC_LOOP, Combination
from dsbridge.subjects.contract import Check, Example
from dsbridge.subjects.model import config
from dsbridge.subjects.subject import Subject
from dsbridge.subjects.tensor import number, program

BAD = Code("CK550", "bad-combination", Severity.ERROR, "These releases do not work together.")
_BUCKET = "zero_optimization.stage3_prefetch_bucket_size"


def _run(subject: Subject) -> Iterator[Diagnostic]:
    trainer = subject.framework in ("trainer", "llamafactory")
    stage = subject.effective("zero_optimization.stage")
    row = NO_SYNC if trainer else NO_SYNC_LOOP
    loop = subject.framework == "accelerate" and ".accumulate(" in program(subject)
    if stage in (2, 3) and (trainer or loop) and _accumulates(subject) and row.holds(subject.versions):
        yield _found(subject, row, "gradient_accumulation_steps")
    if trainer and stage == 3 and subject.written(_BUCKET) == "auto" and BUCKETS.holds(subject.versions):
        yield from _fractional(subject)


def _accumulates(subject: Subject) -> bool:
    """The Trainer goes by its own argument, whatever the engine was told."""
    said = (
        subject.tree("args.gradient_accumulation_steps"),
        subject.effective("gradient_accumulation_steps"),
    )
    return any((number(value) or 1) > 1 for value in said)


def _fractional(subject: Subject) -> Iterator[Diagnostic]:
    """Some sizes have no fraction: 0.9 x 5120 x 5120."""
    hidden = config(subject).get("hidden_size")
    if not isinstance(hidden, int):
        yield _found(subject, BUCKETS, _BUCKET, Severity.WARNING)
    elif not (0.9 * hidden * hidden).is_integer():
        yield _found(subject, BUCKETS, _BUCKET)


def _found(subject: Subject, row: Combination, key: str, severity: Severity | None = None) -> Diagnostic:
    return BAD(
        f"{row.shown(subject.versions)}: {row.what}",
        hint=row.hint,
        key=key,
        at=subject.place(key) or subject.at(f"args.{key}"),
        severity=severity,
    )


_ACC = '{"zero_optimization": {"stage": 2}, "gradient_accumulation_steps": 8, "train_batch_size": "auto"}'
_RUN = (
    "torchrun --nproc_per_node 2 train.py --output_dir o --deepspeed ds.json --gradient_accumulation_steps 8"
)
_OLD = {"deepspeed": "0.16.0", "transformers": "4.46.3", "accelerate": "1.1.1"}
CHECKS = (
    Check(
        code=BAD,
        run=_run,
        why="The job stops at its first step, or while DeepSpeed reads the config.",
        hint="Take one of the releases that the hint names.",
        fires=Example({"ds.json": _ACC}, _RUN, versions=_OLD),
        holds=Example({"ds.json": _ACC}, _RUN, versions={**_OLD, "transformers": "4.47.1"}),
        evidence=(*NO_SYNC.evidence, *BUCKETS.evidence),
        pains=(14, 15),
    ),
)
