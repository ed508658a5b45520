"""DeepSpeed's `scheduler` block, for those who let DeepSpeed step the learning rate."""

from __future__ import annotations

import math
from typing import Any

from dsbridge.deepspeed.dialect import CURVE, SCHEDULER, Dialect, Fragment
from dsbridge.diagnostics import Diagnostic
from dsbridge.fields import unsupported
from dsbridge.spec import ParallelSpec
from dsbridge.spec.leaves import leaves
from dsbridge.values import AUTO, UNSET

# deepspeed/runtime/lr_schedules.py VALID_LR_SCHEDULES
TYPES = {
    "linear": "WarmupDecayLR",
    "cosine": "WarmupCosineLR",
    "cosine_with_min_lr": "WarmupCosineLR",
    "constant_with_warmup": "WarmupLR",
}
FIELDS = ("type", "warmup_ratio", "warmup_steps", "min_lr", "min_lr_ratio")
_PREFIX = "scheduler.params."


def owner_is_deepspeed(spec: ParallelSpec, dialect: Dialect) -> bool:
    """Whether DeepSpeed steps the learning rate: the spec's word, else the dialect's habit."""
    owner = spec.scheduler.owner
    if owner is not UNSET:
        return owner == "deepspeed"
    said = any(getattr(spec.scheduler, name) is not UNSET for name in FIELDS)
    return dialect.owner == "deepspeed" and said


def scheduler_part(spec: ParallelSpec, dialect: Dialect) -> Fragment:
    """The block, if DeepSpeed is to step the learning rate; nothing (and no claim) otherwise."""
    if not owner_is_deepspeed(spec, dialect):
        return Fragment()
    claimed = {"scheduler.owner", "scheduler.type"}
    kind = spec.scheduler.type
    if kind == "constant" and not _warms_up(spec):
        return Fragment({}, frozenset(claimed))  # no block: the optimizer's own rate, unchanged
    if kind is UNSET or kind is AUTO or str(kind) not in TYPES:
        given = "none is given" if kind in (UNSET, AUTO) else f"`{kind}` is given"
        hint = f"Write `scheduler.type` as one of {', '.join(TYPES)}."
        refused = SCHEDULER(f"the scheduler needs a type; {given}", hint=hint, key="scheduler.type")
        return Fragment({}, frozenset(claimed), (refused,))
    found: list[Diagnostic] = []
    params = _params(spec, str(kind), dialect, found)
    keys: dict[str, Any] = {"scheduler.type": TYPES[str(kind)]}
    keys |= {_PREFIX + name: value for name, value in params.items()}
    claimed.add("scheduler.warmup_type")
    if not str(kind).startswith("cosine"):
        claimed |= {"scheduler.warmup_min_lr", "scheduler.peak_lr"}
    if _PREFIX + "warmup_num_steps" not in dialect.takes:
        claimed |= {"scheduler.warmup_ratio", "scheduler.warmup_steps"}
    if params.get("total_num_steps") == spec.training.max_steps:
        claimed.add("training.max_steps")  # it is the length of the curve
    if kind == "cosine_with_min_lr":
        claimed |= {"scheduler.min_lr", "scheduler.min_lr_ratio"}
    return Fragment(keys, frozenset(claimed & leaves(spec).keys()), tuple(found))


def _warms_up(spec: ParallelSpec) -> bool:
    given = (spec.scheduler.warmup_ratio, spec.scheduler.warmup_steps)
    return any(v not in (UNSET, AUTO, 0) for v in given)


def _params(spec: ParallelSpec, kind: str, dialect: Dialect, found: list[Diagnostic]) -> dict[str, Any]:
    params: dict[str, Any] = {}
    if kind == "constant_with_warmup":
        params |= _rates(spec, dialect, found)
    else:
        params["total_num_steps"] = _total(spec, dialect, found)
        params |= _ends(spec, kind, found) if kind.startswith("cosine") else _rates(spec, dialect, found)
    params["warmup_num_steps"] = _warmup(spec, dialect, found)
    # DeepSpeed warms up logarithmically unless told; all frameworks mean a straight line
    if spec.scheduler.warmup_type != "log":
        params["warmup_type"] = "linear"
    return params


def _rates(spec: ParallelSpec, dialect: Dialect, found: list[Diagnostic]) -> dict[str, Any]:
    """From zero to the optimizer's rate. DeepSpeed's own default would be 1e-3, whatever lr says."""
    start, peak = spec.scheduler.warmup_min_lr, spec.scheduler.peak_lr
    if _PREFIX + "warmup_max_lr" in dialect.takes:
        given = {"warmup_min_lr": start, "warmup_max_lr": peak}
        return {name: "auto" if value is UNSET else value for name, value in given.items()}
    rate = spec.optimizer.lr if peak is UNSET else peak
    if rate is UNSET or rate is AUTO:
        hint = "Give `optimizer.lr`."
        found.append(SCHEDULER("the scheduler needs a peak learning rate", hint=hint, key="scheduler.type"))
        return {}
    return {"warmup_min_lr": 0 if start is UNSET else start, "warmup_max_lr": rate}


def _ends(spec: ParallelSpec, kind: str, found: list[Diagnostic]) -> dict[str, Any]:
    """The cosine's end as a share of the peak rate; DeepSpeed's default is 0.0001, not 0."""
    if kind == "cosine":
        return {"cos_min_ratio": 0.0}
    if spec.scheduler.min_lr_ratio is not UNSET:
        return {"cos_min_ratio": spec.scheduler.min_lr_ratio}
    rate, least = spec.optimizer.lr, spec.scheduler.min_lr
    if isinstance(rate, int | float) and isinstance(least, int | float) and rate > 0:
        return {"cos_min_ratio": least / rate}
    hint = "Give `scheduler.min_lr_ratio`, or `scheduler.min_lr` and `optimizer.lr`: DeepSpeed takes a share."
    found.append(SCHEDULER("cosine_with_min_lr needs both rates", hint=hint, key="scheduler.type"))
    return {}


def _total(spec: ParallelSpec, dialect: Dialect, found: list[Diagnostic]) -> Any:
    if _PREFIX + "total_num_steps" in dialect.takes:
        return "auto"
    steps = spec.training.max_steps
    if isinstance(steps, int) and steps > 0:
        return steps
    hint = (
        "Give `training.max_steps`: DeepSpeed does not know the length of the data. "
        "Or step the learning rate in your script: `scheduler.owner: framework`."
    )
    found.append(SCHEDULER("the scheduler needs the number of steps", hint=hint, key="scheduler.type"))
    return 0


def _warmup(spec: ParallelSpec, dialect: Dialect, found: list[Diagnostic]) -> Any:
    if _PREFIX + "warmup_num_steps" in dialect.takes:
        return "auto"
    steps = spec.scheduler.warmup_steps
    ratio = spec.scheduler.warmup_ratio
    if isinstance(ratio, int | float):
        total = spec.training.max_steps
        if not isinstance(total, int) or total <= 0:
            hint = "Give `training.max_steps`, or `scheduler.warmup_steps` in place of the ratio."
            found.append(
                SCHEDULER("warmup_ratio needs the number of steps", hint=hint, key="scheduler.warmup_ratio")
            )
            return 1
        steps = math.ceil(ratio * total)
    wanted = steps if isinstance(steps, int) else 0
    given = [name for name in ("warmup_steps", "warmup_ratio") if getattr(spec.scheduler, name) is not UNSET]
    if wanted < 2:
        found.append(
            CURVE(
                f"{wanted} warm-up steps asked for: DeepSpeed's schedulers warm up for two steps at least",
                hint="With so short a warm-up the framework's own scheduler is exact.",
                key=f"scheduler.{(*given, 'owner')[0]}",
            )
        )
    return max(1, wanted)


# paths that DeepSpeed's schedulers alone have a key for
ALONE = frozenset({"scheduler.warmup_type", "scheduler.warmup_min_lr", "scheduler.peak_lr"})


def alone(spec: ParallelSpec, title: str) -> list[Diagnostic]:
    """What only DeepSpeed's schedulers do, where `title` steps the rate itself (`ALONE` is then claimed)."""
    scheduler, found = spec.scheduler, list[Diagnostic]()
    owner = "Write `scheduler.owner: deepspeed`, where the target has it."
    if scheduler.warmup_type == "log":
        reason = f"{title} warms up on a straight line; DeepSpeed's log(step) / log(steps) rises faster"
        found.append(unsupported("scheduler.warmup_type", "log", reason, owner))
    if scheduler.warmup_min_lr not in (UNSET, 0):
        reason = f"{title} warms up from 0"
        found.append(unsupported("scheduler.warmup_min_lr", scheduler.warmup_min_lr, reason, owner))
    if scheduler.peak_lr not in (UNSET, spec.optimizer.lr):
        reason = f"{title} warms up to `optimizer.lr`"
        found.append(unsupported("scheduler.peak_lr", scheduler.peak_lr, reason, "Write `optimizer.lr`."))
    return found
