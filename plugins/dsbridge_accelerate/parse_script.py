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
# torch's own defaults, which other frameworks do not share
_DEFAULTS: dict[str, dict[str, Any]] = {
    "adamw": {"lr": 1e-3, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.01},
    "adam": {"lr": 1e-3, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0},
    "sgd": {"lr": 1e-3, "weight_decay": 0.0},
}
_ALONE = {"model": "model.name_or_path", "seed": "training.seed",
          "gradient_checkpointing": "training.gradient_checkpointing"}  # fmt: skip


def script_says(given: Given) -> Iterator[Claim]:
    """The batch, the optimizer, the schedule and the model that the script makes."""
    prepared, says = mapping(given.trees.get("prepared")), mapping(given.trees.get("says"))
    yield from _batch(given, prepared)
    for name, path in _ALONE.items():
        if name in says and not isinstance(says[name], Unknown):
            yield Claim(path, says[name], (("says", name),))
    attention = mapping(prepared.get("model")).get("attention")
    if isinstance(attention, str):
        yield Claim("model.attention", attention, (("prepared", "model", "attention"),))
    if clips(given):
        yield Claim("gradient_clipping", says["max_norm"], (("says", "max_norm"),))
    if given.ds is None or "optimizer" not in given.ds:
        yield from _optimizer(mapping(prepared.get("optimizer")), mapping(says.get("optimizer")))
    if given.ds is None or "scheduler" not in given.ds:
        yield from _schedule(given, mapping(says.get("scheduler")))


def clips(given: Given) -> bool:
    """The script clips by itself; under DeepSpeed the call does nothing (accelerator.py:3023 of 1.15.0)."""
    norm = mapping(given.trees.get("says")).get("max_norm")
    return given.way != "deepspeed" and isinstance(norm, int | float)


def silent(given: Given) -> dict[str, Any]:
    """What the script does by saying nothing."""
    prepared, says = mapping(given.trees.get("prepared")), mapping(given.trees.get("says"))
    found: dict[str, Any] = {"finetuning.method": "full"} if says.get("all") else {}
    if "optimizer" not in prepared:
        return found
    if "scheduler" not in prepared and "scheduler" not in mapping(given.ds):
        found["scheduler.type"] = "constant"
    kind = _KINDS.get(str(mapping(prepared["optimizer"]).get("class")), "")
    given_here = mapping(says.get("optimizer"))
    found |= {f"optimizer.{n}": v for n, v in _DEFAULTS.get(kind, {}).items() if n not in given_here}
    if given.way != "deepspeed" and "max_norm" not in says:
        found["gradient_clipping"] = 0
    if given.steps()[0] is None and "gradient_accumulation_steps" not in given.accelerator:
        found["batch.accumulation"] = 1
    return found


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
            if not isinstance(value, Unknown):
                yield Claim(f"optimizer.{name}", value, (("says", "optimizer", name),))


def _schedule(given: Given, says: Mapping[str, Any]) -> Iterator[Claim]:
    """Without DeepSpeed a schedule is stepped once a process (scheduler.py:74 of 1.15.0)."""
    kind, warmup = says.get("type"), says.get("warmup_steps")
    if not isinstance(kind, str):
        return
    yield Claim("scheduler.type", kind, (("says", "scheduler", "type"),))
    times = 1 if given.way == "deepspeed" else given.ranks
    if times and isinstance(warmup, int) and warmup % times == 0 and kind != "constant":
        yield Claim("scheduler.warmup_steps", warmup // times, (("says", "scheduler", "warmup_steps"),))
