"""What the training script says to Accelerator and gives to prepare(), in the spec's words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dsbridge.rulebook import Unknown
from dsbridge.sdk import Claim
from dsbridge_accelerate.given import Given, mapping, number
from dsbridge_accelerate.objects import named_class
from dsbridge_accelerate.optimizer import CLASSES

_KINDS = {named_class(said): name for name, said in CLASSES.items()}


def script_says(given: Given) -> Iterator[Claim]:
    """The batch, the optimizer and the model that the script makes."""
    prepared = mapping(given.trees.get("prepared"))
    yield from _batch(given, prepared)
    says = mapping(given.trees.get("says"))
    if isinstance(says.get("model"), str):
        yield Claim("model.name_or_path", says["model"], (("says", "model"),))
    attention = mapping(prepared.get("model")).get("attention")
    if isinstance(attention, str):
        yield Claim("model.attention", attention, (("prepared", "model", "attention"),))
    if given.ds is None or "optimizer" not in given.ds:
        yield from _optimizer(mapping(prepared.get("optimizer")), mapping(says.get("optimizer")))


def _batch(given: Given, prepared: Mapping[str, Any]) -> Iterator[Claim]:
    """The batch size of the first loader; DeepSpeed is told the smallest (accelerator.py:2190 of 1.15.0)."""
    loaders = prepared.get("loaders")
    if not isinstance(loaders, list) or not loaders or given.accelerator.get("split_batches"):
        return
    sizes = [number(mapping(loader).get("batch_size")) for loader in loaders]
    if None in sizes or (given.ds is not None and number(given.ds.get("train_micro_batch_size_per_gpu"))):
        return
    known = [size for size in sizes if size is not None]
    if given.way == "deepspeed":
        size = max(known) if given.plugin.get("is_train_batch_min") is False else min(known)
    else:
        size = known[0]
    yield Claim("batch.micro_per_gpu", size, (("prepared", "loaders", str(known.index(size)), "batch_size"),))


def _optimizer(made: Mapping[str, Any], says: Mapping[str, Any]) -> Iterator[Claim]:
    kind = made.get("class")
    if isinstance(kind, str) and kind in _KINDS:
        yield Claim("optimizer.type", _KINDS[kind], (("prepared", "optimizer", "class"),))
        for name, value in says.items():
            if not isinstance(value, Unknown) and value is not None:
                yield Claim(f"optimizer.{name}", value, (("says", "optimizer", name),))
