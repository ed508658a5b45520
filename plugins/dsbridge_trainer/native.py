"""Native DeepSpeed keys that the Trainer compares with an argument of its own, overwrites, or stops at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dsbridge.sdk import Diagnostic, Dialect, ParallelSpec, show
from dsbridge_trainer import codes

# filled only, never compared (transformers 5.23.0 integrations/deepspeed.py:173, 176)
_NOT_COMPARED = ("scheduler.params.warmup_min_lr", "checkpoint.use_node_local_storage")
_PRINTS = "steps_per_print"  # overwritten before anybody looks for "auto"


def native(spec: ParallelSpec, config: Mapping[str, Any], dialect: Dialect) -> Iterator[Diagnostic]:
    """Findings over the finished config, native keys merged."""
    flat, compared = dict(_flat(config)), dialect.takes.keys() - set(_NOT_COMPARED)
    for key, value in flat.items():
        if value == "auto" and not (key in dialect.takes or key in dialect.fills or key == _PRINTS):
            yield _stops(key, f'nobody fills "auto" in `{key}`, and Accelerate stops at it')
        elif value != "auto" and key in compared and not _agrees(spec, key, value):
            yield codes.COMPARED(
                f"`deepspeed.{key}: {show(value)}` is compared with {dialect.title}'s own "
                f"`{dialect.takes[key]}`, and training stops where they differ",
                hint=f'Write `deepspeed.{key}: "auto"` and the value in the spec\'s own key.',
                key=f"deepspeed.{key}",
            )
    if flat.get("sequence_parallel_size", 1) != 1:
        yield _stops(
            "sequence_parallel_size",
            "the Trainer counts every rank as data-parallel: the batch would not add up",
            "Write `parallelism.ulysses`, where the target has it.",
        )
    yield from _overwritten(spec, config, flat)


def _agrees(spec: ParallelSpec, key: str, value: object) -> bool:
    """Numbers of a native scheduler that the spec gives to the Trainer too."""
    same = {
        "scheduler.params.warmup_max_lr": spec.optimizer.lr,
        "scheduler.params.total_num_steps": spec.training.max_steps,
    }
    return key in same and same[key] == value


def _overwritten(
    spec: ParallelSpec, config: Mapping[str, Any], flat: Mapping[str, Any]
) -> Iterator[Diagnostic]:
    """transformers 5.23.0 integrations/deepspeed.py:589; accelerate 1.15.0 utils/dataclasses.py:1326."""
    untested = "zero_allow_untested_optimizer"
    if flat.get(untested) is False and "optimizer" not in config:
        own = spec.zero.allow_untested_optimizer is False
        key = "zero.allow_untested_optimizer" if own else f"deepspeed.{untested}"
        message = f"`{key}: false` becomes true: the Trainer sets it for every optimizer that it builds"
        yield codes.OVERWRITTEN(message, hint="Remove it, or write `optimizer.owner: deepspeed`.", key=key)
    if _PRINTS in flat:
        message = "`deepspeed.steps_per_print` is overwritten by Accelerate, so that DeepSpeed prints nothing"
        hint = "Remove it, and write `training.logging_steps`."
        yield codes.OVERWRITTEN(message, hint=hint, key="deepspeed.steps_per_print")


def _stops(key: str, why: str, hint: str = "Write a value, or leave the key out.") -> Diagnostic:
    return codes.COMPARED(f"`deepspeed.{key}`: {why}", hint=hint, key=f"deepspeed.{key}")


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
