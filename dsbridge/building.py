"""Who builds optimizer and scheduler, for a target in which DeepSpeed cannot.

What DeepSpeed makes of its own blocks is then said to the framework: the same numbers, with those that the
block leaves open as DeepSpeed has them.
"""

from __future__ import annotations

from typing import Any

from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.framework import Framework
from dsbridge.parsing import Parsed

BUILDER = Code(
    "MG003", "builder-changed", Severity.INFO, "The framework builds what DeepSpeed built from its own block."
)
CODES = (BUILDER,)

# deepspeed/ops/adam/fused_adam.py and cpu_adam.py: what the class has where the block is silent
_ADAM = {"lr": 1e-3, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0}


def with_peak(parsed: Parsed) -> Parsed:
    """The scheduler's peak as the optimizer's rate: DeepSpeed writes it over that in every group, from the
    first step on (deepspeed/runtime/lr_schedules.py, update_lr)."""
    peak = parsed.claims.get("scheduler.peak_lr")
    if peak is None:
        return parsed
    dead = parsed.claims.get("optimizer.lr", peak._replace(keys=()))
    claims = {path: claim for path, claim in parsed.claims.items() if path != "scheduler.peak_lr"}
    claims["optimizer.lr"] = peak._replace(path="optimizer.lr")
    return parsed._replace(claims=claims, consumed=(*parsed.consumed, *dead.keys))


def peak_to_rate(spec: dict[str, Any]) -> None:
    """The same in the spec's mapping."""
    scheduler = spec.get("scheduler")
    if isinstance(scheduler, dict) and "peak_lr" in scheduler:
        spec["optimizer"] = {**spec.get("optimizer", {}), "lr": scheduler["peak_lr"]}
        spec["scheduler"] = {name: value for name, value in scheduler.items() if name != "peak_lr"}


def built_by_framework(spec: dict[str, Any], target: Framework) -> list[Diagnostic]:
    """Give optimizer and scheduler to a target whose DeepSpeed, if it has one, builds neither."""
    if target.deepspeed_builds and not spec.get("fsdp"):
        return []
    found = []
    for name in ("optimizer", "scheduler"):
        part = spec.get(name)
        if isinstance(part, dict) and part.get("owner") == "deepspeed":
            spec[name] = part = {**part, "owner": "framework"}
            found.append(_optimizer(part, target) if name == "optimizer" else _scheduler(part, target))
    return found


def _optimizer(part: dict[str, Any], target: Framework) -> Diagnostic:
    """DeepSpeed's "Adam" is AdamW unless `adam_w_mode` is false, which stays a native key."""
    kind = part.get("type", "adamw")
    if kind in ("adam", "adamw"):
        part["type"] = "adamw"
        part |= {key: value for key, value in _ADAM.items() if key not in part}
    message = f"DeepSpeed's {kind} becomes {target.title}'s own {part.get('type', kind)}, with its numbers"
    return BUILDER(message, key="optimizer.type")


def _scheduler(part: dict[str, Any], target: Framework) -> Diagnostic:
    message = (
        f"DeepSpeed's schedule becomes {target.title}'s own {part.get('type')}: a step or two apart, since "
        "DeepSpeed takes its first two optimizer steps at the rate that warm-up starts at"
    )
    return BUILDER(message, key="scheduler.type", severity=Severity.WARNING)
