"""A spec as keyword arguments of `TrainingArguments`: the layer that other frameworks stand on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dsbridge.sdk import (
    AUTO,
    UNSET,
    Diagnostic,
    Field,
    ParallelSpec,
    Placed,
    RenderRequest,
    batch_numbers,
    dims,
    place,
)
from dsbridge_trainer import codes
from dsbridge_trainer.fields import ARGUMENTS
from dsbridge_trainer.optimizing import optimizer_arguments, scheduler_arguments


def training_arguments(
    request: RenderRequest, more: Iterable[Field] = (), *, ratio_key: bool = False
) -> Placed:
    """Document "args": every argument of the Trainer that the spec decides, each in this one place.

    more: rows of the framework that stands on the Trainer. ratio_key: it takes `warmup_ratio`, which
    Transformers 5.23 no longer has.
    """
    return together(
        [
            place((*ARGUMENTS, *more), request.values),
            _batch(request),
            _precision(request.spec),
            optimizer_arguments(request),
            scheduler_arguments(request, ratio_key=ratio_key),
            _evaluation(request.spec),
        ]
    )


def together(parts: Iterable[Placed]) -> Placed:
    """Pieces joined, document by document; a key that two of them write is our own mistake."""
    documents: dict[str, dict[str, Any]] = {}
    claimed: set[str] = set()
    found: list[Diagnostic] = []
    for part in parts:
        for name, keys in part.documents.items():
            into = documents.setdefault(name, {})
            assert not into.keys() & keys.keys(), f"written twice: {sorted(into.keys() & keys.keys())}"
            into |= keys
        claimed |= part.claimed
        found += part.diagnostics
    return Placed(documents, frozenset(claimed), tuple(found))


def _batch(request: RenderRequest) -> Placed:
    numbers = batch_numbers(request.spec)
    keys: dict[str, Any] = {}
    if numbers.micro is not None:
        keys["per_device_train_batch_size"] = numbers.micro
    if numbers.accumulation is not None:
        keys["gradient_accumulation_steps"] = numbers.accumulation
    claimed = frozenset({"batch.micro_per_gpu", "batch.accumulation", "batch.global"})
    return Placed({"args": keys}, claimed, tuple(_undecided(request.spec)))


def _undecided(spec: ParallelSpec) -> list[Diagnostic]:
    """The Trainer has no argument for the global batch: it is the product of what it has."""
    wanted, numbers = spec.batch.global_, batch_numbers(spec)
    if wanted is UNSET or wanted is AUTO:
        return []
    known = dims(spec).data_parallel is not None
    if known and numbers.micro is not None and numbers.accumulation is not None:
        return []
    missing = "`batch.micro_per_gpu` or `batch.accumulation`" if known else "`cluster.gpus_per_node`"
    if not known and numbers.missing() > 1:
        missing += ", and `batch.micro_per_gpu` or `batch.accumulation`"
    return [
        codes.BATCH(
            f"`batch.global: {wanted}` cannot be kept: the Trainer multiplies micro batch, accumulation "
            "and ranks, and not all of them are known",
            hint=f"Give {missing}.",
            key="batch.global",
        )
    ]


def _precision(spec: ParallelSpec) -> Placed:
    """fp8 is left to those who have it; the Trainer itself refuses it."""
    dtype = spec.precision.dtype
    claimed = frozenset({"precision.dtype"})
    if dtype in (UNSET, AUTO):
        return Placed({}, claimed)
    if dtype == "fp32":
        return Placed({"args": {"bf16": False, "fp16": False}}, claimed)
    return Placed({"args": {"fp16" if dtype == "fp16" else "bf16": True}}, claimed)


def _evaluation(spec: ParallelSpec) -> Placed:
    """`eval_steps` is read only with `eval_strategy: steps` (transformers 5.23.0 training_args.py:1110)."""
    if spec.training.eval_steps is UNSET:
        return Placed()
    return Placed({"args": {"eval_strategy": "steps"}})
