"""The batch that DeepSpeed's elasticity computes, up to 0.19: a total that many numbers of GPUs divide.

deepspeed/elasticity/elasticity.py and config.py of 0.18.4, version 0.1 of its two algorithms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

# Highly composite numbers: those with more divisors than any smaller one.
_HCN = (
    *(
        1,
        2,
        4,
        6,
        12,
        24,
        36,
        48,
        60,
        120,
        180,
        240,
        360,
        720,
        840,
        1260,
        1680,
        2520,
        5040,
        7560,
        10080,
        15120,
    ),
    *(
        20160,
        25200,
        27720,
        45360,
        50400,
        55440,
        83160,
        110880,
        166320,
        221760,
        277200,
        332640,
        498960,
        554400,
    ),
    *(665280, 720720),
)
_BATCH = ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps")
_CONTROL = (
    "One or more batch related parameters were found in your ds_config (train_batch_size, "
    "train_micro_batch_size_per_gpu, and/or gradient_accumulation_steps). These parameters *will not be "
    "used* since elastic training is enabled, which takes control of these parameters. If you want to "
    "suppress this error (the parameters will be silently ignored) please set "
    "ignore_non_elastic_batch_info':true in your elasticity config."
)


def elastic(config: Any, world: Any) -> Any:
    """The three batch keys, or {"type", "message", "field"} of what stops DeepSpeed."""
    block = config.get("elasticity")
    if not isinstance(block, Mapping):
        message = f"'{type(block).__name__}' object has no attribute 'get'"
        return {"type": "AttributeError", "message": message, "field": "elasticity"}
    for name in ("max_train_batch_size", "micro_batch_sizes"):
        if name not in block:
            return _error("ElasticityConfigError", f"Elasticity config missing {name}", name)
    micros = block["micro_batch_sizes"]
    whole = isinstance(micros, list) and all(isinstance(m, int) and m > 0 for m in micros) and micros
    if not whole:
        return _error("ElasticityConfigError", "Elasticity expected …", "micro_batch_sizes")
    if float(block.get("version", 0.2)) != 0.1:
        return _error("…", "…", "version")
    return _computed(config, block, micros, int(world))


def _error(kind: str, message: str, field: str) -> dict[str, str]:
    return {"type": kind, "message": message, "field": f"elasticity.{field}"}


def _computed(
    config: Mapping[str, Any], block: Mapping[str, Any], micros: Sequence[int], world: int
) -> dict[str, Any]:
    largest = block["max_train_batch_size"]
    if not all(micro <= largest for micro in micros):
        return _error("ValueError", "All micro batches must be less than…", "micro_batch_sizes")
    total, gpus = _best(micros, largest, block)
    if world not in gpus:
        message = f"World size ({world}) is not valid with the current list of valid GPU counts: {gpus}"
        return _error("ElasticityIncompatibleWorldSize", message, "max_gpus")
    micro = next(m for m in sorted(set(micros), reverse=True) if total // world % m == 0)
    if not block.get("ignore_non_elastic_batch_info", False) and any(name in config for name in _BATCH):
        return _error("ElasticityConfigError", _CONTROL, "ignore_non_elastic_batch_info")
    return dict(zip(_BATCH, (total, micro, total // (micro * world)), strict=True))


def _best(micros: Sequence[int], largest: int, block: Mapping[str, Any]) -> tuple[int, list[int]]:
    """The total that the most numbers of GPUs can share."""
    low = block.get("min_gpus", 1) or 1
    high = block.get("max_gpus", 10000) or largest // min(micros)
    larger = block.get("prefer_larger_batch", True)
    total, best, most = min(micros), list[int](), 0
    for candidate in set(_candidates([*micros, math.lcm(*micros)], largest)):
        gpus = _gpus(candidate, micros, low, high)
        better = candidate > total if larger else candidate < total
        if len(gpus) > most or (len(gpus) == most and better):
            total, best, most = candidate, gpus, len(gpus)
    return total, best


def _candidates(bases: Sequence[int], largest: int) -> list[int]:
    found = []
    for base in bases:
        if base >= largest:
            found.append(base)
        else:
            above = [index for index, number in enumerate(_HCN) if number > largest // base]
            found.append(_HCN[(above[0] if above else 0) - 1] * base)
    return found


def _gpus(total: int, micros: Sequence[int], low: int, high: int) -> list[int]:
    found: set[int] = set()
    for micro in micros:
        if total % micro == 0:
            most = total // micro
            found |= {
                count for count in range(1, most // 2 + 1) if most % count == 0 and low <= count <= high
            }
            found |= {most} if low <= most <= high else set()
    return sorted(found)
