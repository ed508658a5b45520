"""Batch sizes that do not multiply, and the numbers of ranks that a pinned batch leaves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.provenance import Source
from dsbridge.subjects.batch import MICRO, STEPS, TOTAL, Batch, usual
from dsbridge.subjects.contract import Check, Example
from dsbridge.subjects.subject import Subject
from dsbridge.values import UNSET

PRODUCT = Code(
    "CK400", "batch-product", Severity.ERROR, "The batch sizes and the number of ranks do not multiply."
)
WORLDS = Code(
    "CK401", "batch-pins-ranks", Severity.INFO, "A pinned batch works for some numbers of ranks only."
)
# The rules that stop where the arithmetic is wrong (dsbridge/deepspeed/rules/batch.py).
_RULES = frozenset(("DS153", "DS155", "DS157", "DS158"))
_SHOWN = 12


def _whole(value: Any) -> int | None:
    good = isinstance(value, int) and not isinstance(value, bool) and value > 0
    return int(value) if good else None


def _batch(subject: Subject) -> Batch | None:
    """The sizes that DeepSpeed will calculate with; None if one of them is no positive whole number."""
    sizes: list[int | None] = []
    for name in (TOTAL, MICRO, STEPS):
        value = subject.effective(name)
        size = _whole(value)
        if value not in (UNSET, None) and size is None:
            return None
        sizes.append(size)
    ranks = _whole(subject.fact("init.world_size")) or _whole(subject.fact("world_size"))
    total, micro, steps = sizes
    return Batch(total, micro, steps, ranks)


def _elastic(subject: Subject) -> bool:
    """Elasticity writes all three anew."""
    return subject.written("elasticity.enabled") is True


def _place(subject: Subject) -> tuple[str, Source | None]:
    """The key and place of the rule's own finding, which this one replaces; else of the total."""
    for refused in subject.stops:
        if refused.rule.code in _RULES and refused.fields:
            return refused.fields[0], subject.place(refused.fields[0])
    return TOTAL, subject.at(f"ds.{TOTAL}")


def _product(subject: Subject) -> Iterator[Diagnostic]:
    batch = _batch(subject)
    if batch is None or batch.total is None or _elastic(subject) or subject.written(TOTAL) is UNSET:
        return
    stopped = any(refused.rule.code in _RULES for refused in subject.stops)
    if batch.ranks is not None and (stopped or subject.input is None) and not batch.fits(batch.ranks):
        yield _wrong(subject, batch)
    elif batch.ranks is None and not batch.worlds():
        sizes = " x ".join(f"{size}" for size in (batch.micro, batch.steps) if size)
        key, at = _place(subject)
        low = batch.total // _unit(batch) * _unit(batch)
        near = [str(size) for size in (low, low + _unit(batch)) if size]
        yield PRODUCT(
            f"{TOTAL} {batch.total} is no multiple of {sizes} ({_names(batch)}): "
            "no number of ranks fits, and DeepSpeed stops at its check of the batch",
            hint=f"Leave {TOTAL} out, then DeepSpeed derives it; or write {' or '.join(near)}.",
            key=key,
            at=at,
        )


def _wrong(subject: Subject, batch: Batch) -> Diagnostic:
    key, at = _place(subject)
    message = f"{TOTAL} {batch.total} is not {batch.product()}"
    if batch.micro is None or batch.steps is None:
        message = f"{TOTAL} {batch.total} cannot be shared in whole numbers by {batch.product()}"
    if batch.ranks == 1 and subject.launchers == ("python",):
        message += "; plain `python` starts one process, whatever GPUs there are"
    first = ""
    if batch.ranks == 1 and batch.worlds()[-1:] != (1,) and batch.worlds():
        many = " or ".join(str(count) for count in batch.worlds()[-2:])
        first = f"The file is meant for {many} ranks: start it with torchrun --nproc_per_node {many}. Else "
    others = "; or ".join(batch.repairs())
    return PRODUCT(
        f"{message}: DeepSpeed stops at its check of the batch",
        hint=f'{first}Leave {TOTAL} out (or "auto" for the Trainer\'s files). Also fits: {others}.',
        key=key,
        at=at,
    )


def _unit(batch: Batch) -> int:
    return (batch.micro or 1) * (batch.steps or 1)


def _names(batch: Batch) -> str:
    pairs = ((MICRO, batch.micro), (STEPS, batch.steps))
    return " x ".join(name for name, size in pairs if size)


def _worlds(subject: Subject) -> Iterator[Diagnostic]:
    batch = _batch(subject)
    written = _whole(subject.written(TOTAL))
    if batch is None or written is None or batch.ranks is not None or _elastic(subject):
        return
    worlds = batch.worlds()
    if not worlds:
        return  # that is CK400's
    common = [count for count in worlds if usual(count)]
    text = ", ".join(str(count) for count in worlds[:_SHOWN]) + (", ..." if len(worlds) > _SHOWN else "")
    only = "only" if batch.micro and batch.steps else "evenly only"
    hint = f"Leave {TOTAL} out, and it follows from the ranks; or say --world-size N to check one number."
    yield WORLDS(
        f"{TOTAL} {batch.total} works {only} with {text} rank{'s' if worlds != (1,) else ''}",
        hint=hint if common else f"{hint} No usual number of GPUs is among them.",
        key=TOTAL,
        at=subject.at(f"ds.{TOTAL}"),
        severity=Severity.INFO if common else Severity.WARNING,
    )


_DS = '{"zero_optimization": {"stage": 2}, "train_batch_size": %s, "train_micro_batch_size_per_gpu": 2}'
CHECKS = (
    Check(
        code=PRODUCT,
        run=_product,
        why="DeepSpeed asserts total = micro batch x accumulation x ranks, and stops before the first step.",
        hint="Pin at most two of the three sizes; what is left out is derived.",
        fires=Example({"ds.json": _DS % 24}, facts={"world_size": 8}),
        holds=Example({"ds.json": _DS % 32}, facts={"world_size": 8}),
        pains=(4,),
        explains=tuple(sorted(_RULES)),
    ),
    Check(
        code=WORLDS,
        run=_worlds,
        why="The same file stops on another number of GPUs than its author had.",
        hint='Leave train_batch_size out, or write "auto" where the Trainer reads it.',
        fires=Example({"ds.json": _DS % 24}),
        holds=Example({"ds.json": _DS % '"auto"'}),
        pains=(4,),
    ),
)
