"""A `scheduler` block in the spec's words: the way back from `dsbridge.deepspeed.scheduler`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from dsbridge.claims import Claim
from dsbridge.trees import lookup

_WARMUP = ("warmup_min_lr", "warmup_max_lr", "warmup_num_steps", "warmup_type")
# deepspeed/runtime/lr_schedules.py: the curve behind the warm-up, and what each of them takes
_CURVES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "WarmupLR": ("constant_with_warmup", _WARMUP),
    "WarmupDecayLR": ("linear", (*_WARMUP, "total_num_steps")),
    "WarmupCosineLR": (
        "cosine",
        ("total_num_steps", "warmup_min_ratio", "warmup_num_steps", "cos_min_ratio", "warmup_type"),
    ),
}
_COS_MIN_RATIO = 0.0001  # DeepSpeed's, where the block does not say


def scheduler_claims(
    config: Mapping[str, Any], before: Iterable[Claim] = (), taken: Collection[str] = ()
) -> list[Claim]:
    """The whole block, or nothing: a number that is missing or "auto" would be another one when rendered.

    before: what is claimed of the optimizer. taken: parameters that an argument of the framework says.
    """
    kind, params = lookup(config, "scheduler.type"), lookup(config, "scheduler.params")
    if not isinstance(kind, str) or kind not in _CURVES or not isinstance(params, Mapping):
        return []
    curve, names = _CURVES[kind]
    if set(params) - set(names) or params.get("warmup_min_ratio", 0) != 0:
        return []
    if params.get("warmup_type", "log") not in ("log", "linear"):
        return []  # DeepSpeed warns, and takes "log"
    needed = [name for name in names if name.endswith(("_num_steps", "_max_lr"))]
    if any(name not in params for name in needed):
        return []
    if any(not _number(name, params[name]) for name in params if name not in taken):
        return []
    rate = next((claim.value for claim in before if claim.path == "optimizer.lr"), None)
    return [
        Claim("scheduler.owner", "deepspeed"),
        *_kind(curve, params),
        *_numbers(params, rate, taken),
    ]


def key_of(name: str) -> tuple[str, ...]:
    """The leaf of a parameter."""
    return ("ds", "scheduler", "params", name)


def _number(name: str, value: Any) -> bool:
    if name == "warmup_type":
        return True
    if name.endswith("_steps"):
        return isinstance(value, int) and not isinstance(value, bool) and value > 0
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _kind(curve: str, params: Mapping[str, Any]) -> Iterator[Claim]:
    """The curve, and how it starts: by the logarithm of the step where the block does not say."""
    block = ("ds", "scheduler", "type")
    if curve == "cosine":
        share = params.get("cos_min_ratio", _COS_MIN_RATIO)
        end = key_of("cos_min_ratio") if "cos_min_ratio" in params else block
        if share:
            curve = "cosine_with_min_lr"
            yield Claim("scheduler.min_lr_ratio", share, (end,))
        yield Claim("scheduler.type", curve, (block,) if share else (block, end))
    else:
        yield Claim("scheduler.type", curve, (block,))
    said = "warmup_type" in params
    rises = key_of("warmup_type") if said else block
    yield Claim("scheduler.warmup_type", params.get("warmup_type", "log"), (rises,))
    if "warmup_min_ratio" in params:
        yield Claim("scheduler.owner", "deepspeed", (key_of("warmup_min_ratio"),))


def _numbers(params: Mapping[str, Any], rate: Any, taken: Collection[str]) -> Iterator[Claim]:
    rows = (
        ("warmup_num_steps", "scheduler.warmup_steps"),
        ("total_num_steps", "training.max_steps"),
        ("warmup_min_lr", "scheduler.warmup_min_lr"),
        ("warmup_max_lr", "scheduler.peak_lr"),
    )
    for name, path in rows:
        if name not in params or name in taken:
            continue
        # one number: the optimizer's own rate, and the peak
        same = name == "warmup_max_lr" and params[name] == rate
        yield Claim("optimizer.lr" if same else path, params[name], (key_of(name),))
