"""Optimizer and learning rate as arguments of the Trainer."""

from __future__ import annotations

import math
from typing import Any

from dsbridge.sdk import (
    AUTO,
    DS_SCHEDULER_ALONE,
    UNSET,
    Codec,
    Diagnostic,
    Field,
    ParallelSpec,
    Placed,
    RenderRequest,
    ds_scheduler_alone,
    optimizer_by_deepspeed,
    place,
    scheduler_by_deepspeed,
    show,
    unsupported,
)
from dsbridge_trainer import codes
from dsbridge_trainer.dialect import DIALECT

# transformers 5.23.0 training_args.py:113 OptimizerNames
NAMES = {
    "adamw": "adamw_torch",
    "sgd": "sgd",
    "adagrad": "adagrad",
    "lion": "lion_32bit",
    "adafactor": "adafactor",
    "adamw_8bit": "adamw_bnb_8bit",
    "paged_adamw_8bit": "paged_adamw_8bit",
}
# transformers 5.23.0 trainer_optimizer.py: sgd, adagrad and adafactor get no betas and no eps, lion no eps
NOT_READ = {
    "sgd": ("betas", "eps"),
    "adagrad": ("betas", "eps"),
    "adafactor": ("betas", "eps"),
    "lion": ("eps",),
}
_RATES = (
    Field("optimizer.lr", "learning_rate"),
    Field("optimizer.weight_decay", "weight_decay"),
    Field("optimizer.eps", "adam_epsilon"),
)
_TYPE = Field("optimizer.type", "optim", codec=Codec(words=NAMES))
_CURVE = Field("scheduler.type", "lr_scheduler_type")


def optimizer_arguments(request: RenderRequest) -> Placed:
    """`optim` and its numbers. With DeepSpeed's optimizer the numbers fill the "auto" of its block."""
    spec = request.spec
    by_deepspeed = optimizer_by_deepspeed(spec, DIALECT)
    kind = str(spec.optimizer.type) if spec.optimizer.type not in (UNSET, AUTO) else "adamw"
    unread = () if by_deepspeed else NOT_READ.get(kind, ())
    rows = [row for row in _RATES if row.path.rpartition(".")[2] not in unread]
    found = [_not_read(spec, kind, name) for name in unread if getattr(spec.optimizer, name) is not UNSET]
    if not by_deepspeed:
        if kind in NAMES:
            rows.append(_TYPE)
        else:
            found.append(_no_such(kind))
        found += _replaced(spec, kind)
    placed = place(rows, request.values)
    keys = dict(placed.document("args"))
    betas = spec.optimizer.betas
    if isinstance(betas, tuple) and "betas" not in unread:
        keys |= {"adam_beta1": betas[0], "adam_beta2": betas[1]}
    claimed = {"optimizer.owner", "optimizer.betas"} | {f"optimizer.{name}" for name in unread}
    if not by_deepspeed:
        claimed.add("optimizer.type")
    return Placed({"args": keys}, placed.claimed | claimed, (*placed.diagnostics, *found))


def _no_such(kind: str) -> Diagnostic:
    here = f"It builds {', '.join(NAMES)}."
    also = " DeepSpeed builds it: write `optimizer.owner: deepspeed`." if kind in _BY_DEEPSPEED else ""
    return codes.OPTIMIZER(f"the Trainer has no optimizer `{kind}`", hint=here + also, key="optimizer.type")


_BY_DEEPSPEED = ("adam", "lamb", "muon")


def _not_read(spec: ParallelSpec, kind: str, name: str) -> Diagnostic:
    return codes.NOT_READ(
        f"`optimizer.{name}: {show(getattr(spec.optimizer, name))}` is not rendered: the Trainer's {kind} "
        "takes no such number",
        hint="Remove it, or choose adamw.",
        key=f"optimizer.{name}",
    )


def _replaced(spec: ParallelSpec, kind: str) -> list[Diagnostic]:
    """accelerate 1.15.0 accelerator.py:2371-2384: with offload any client optimizer becomes CPU Adam."""
    device = spec.zero.offload_optimizer.device
    if device in (UNSET, AUTO, "none") or kind == "adamw" or spec.zero.force_ds_cpu_optimizer is False:
        return []
    return [
        codes.REPLACED(
            f"`optimizer.type: {kind}` with the optimizer offloaded to {device}: Accelerate silently trains "
            "with DeepSpeedCPUAdam instead",
            hint="Write `optimizer.type: adamw`, or keep yours with `zero.force_ds_cpu_optimizer: false`.",
            key="optimizer.type",
        )
    ]


def scheduler_arguments(request: RenderRequest, *, ratio_key: bool) -> Placed:
    """`lr_scheduler_type` and the warm-up. A `scheduler` block of DeepSpeed's would silently win over it."""
    spec = request.spec
    by_deepspeed = scheduler_by_deepspeed(spec, DIALECT)
    found: list[Diagnostic] = []
    keys: dict[str, Any] = {}
    claimed = {"scheduler.owner", "scheduler.warmup_ratio", "scheduler.warmup_steps"}
    if not by_deepspeed:
        placed = place([_CURVE], request.values)
        keys |= placed.document("args")
        claimed |= placed.claimed | _minimum(spec, keys, found) | DS_SCHEDULER_ALONE
        found += ds_scheduler_alone(spec, "the Trainer")
    if not by_deepspeed and spec.scheduler.type == "constant":
        found += _no_warmup(spec)
    else:
        keys |= _warmup(spec, ratio_key, found)
    return Placed({"args": keys}, frozenset(claimed), tuple(found))


def _minimum(spec: ParallelSpec, keys: dict[str, Any], found: list[Diagnostic]) -> set[str]:
    """transformers 5.23.0 optimization.py: cosine_with_min_lr alone takes `min_lr`, and insists on it."""
    least, ratio = spec.scheduler.min_lr, spec.scheduler.min_lr_ratio
    claimed = {"scheduler.min_lr", "scheduler.min_lr_ratio"}
    if spec.scheduler.type != "cosine_with_min_lr":
        for name, value in (("min_lr", least), ("min_lr_ratio", ratio)):
            if value is not UNSET:
                reason = "of the Trainer's schedules only cosine_with_min_lr takes a rate to end at"
                hint = "Write `scheduler.type: cosine_with_min_lr`."
                found.append(unsupported(f"scheduler.{name}", value, reason, hint))
        return claimed
    if ratio is not UNSET:
        keys["lr_scheduler_kwargs"] = {"min_lr_rate": ratio}
    elif least is UNSET or least is AUTO:
        hint = "Give `scheduler.min_lr`, for example 1e-6."
        message = "cosine_with_min_lr needs the learning rate at its end"
        found.append(codes.SCHEDULER(message, hint=hint, key="scheduler.type"))
    else:
        keys["lr_scheduler_kwargs"] = {"min_lr": least}
    return claimed


def _no_warmup(spec: ParallelSpec) -> list[Diagnostic]:
    names = ("warmup_ratio", "warmup_steps")
    given = [n for n in names if getattr(spec.scheduler, n) not in (UNSET, AUTO, 0)]
    return [
        codes.WARMUP(
            f"`scheduler.{name}: {show(getattr(spec.scheduler, name))}` with `scheduler.type: constant`, "
            "which never warms up in the Trainer",
            hint="Write `scheduler.type: constant_with_warmup`.",
            key=f"scheduler.{name}",
        )
        for name in given
    ]


def _warmup(spec: ParallelSpec, ratio_key: bool, found: list[Diagnostic]) -> dict[str, Any]:
    steps, ratio = spec.scheduler.warmup_steps, spec.scheduler.warmup_ratio
    if isinstance(steps, int):
        return {"warmup_steps": steps}
    if not isinstance(ratio, int | float):
        return {}
    if ratio_key:
        return {"warmup_ratio": ratio}
    total = spec.training.max_steps
    if isinstance(total, int) and total > 0:
        return {"warmup_steps": math.ceil(ratio * total)}
    if ratio in (0, 1):
        found += _all_steps() if ratio else []
        return {"warmup_steps": 0}
    found.append(
        codes.FRACTION(
            f"`warmup_steps: {show(ratio)}` is a share of all steps; Transformers before 5 reads it as "
            "a number of steps, which is no warm-up",
            hint="With `training.max_steps` a whole number is written, which every version reads alike.",
            key="scheduler.warmup_ratio",
        )
    )
    return {"warmup_steps": ratio}


def _all_steps() -> list[Diagnostic]:
    """transformers 5.23.0 training_args.py:2158: from 1 on it is a number of steps."""
    return [
        codes.WARMUP(
            "`scheduler.warmup_ratio: 1` cannot be said: the Trainer reads `warmup_steps: 1` as one step",
            hint="Give `training.max_steps`, or `scheduler.warmup_steps`.",
            key="scheduler.warmup_ratio",
        )
    ]
