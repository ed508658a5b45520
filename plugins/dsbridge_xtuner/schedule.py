"""The learning-rate curve: `param_scheduler`, a list that options can only change entry by entry.

The shipped configs list a LinearLR for the warm-up and a CosineAnnealingLR behind it, both in epochs
that mmengine converts to micro-steps. An option cannot write a new list, so curves with warm-up need
those two entries; curves without become one mapping that replaces the list.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from dsbridge.sdk import AUTO, DS_SCHEDULER_ALONE, UNSET, ds_scheduler_alone
from dsbridge_xtuner import codes
from dsbridge_xtuner.wants import Context, steps_need_accumulation

# a falling line is PolyLR of power 1: it takes the same arguments as the config's cosine
_CURVES = {"cosine": "CosineAnnealingLR", "cosine_with_min_lr": "CosineAnnealingLR", "linear": "PolyLR"}
_WARM = {"type": "LinearLR", "start_factor": 1e-5, "begin": 0}
_KEYS = ("type", "warmup_ratio", "warmup_steps")


@dataclass(frozen=True)
class _Length:
    """How long the run is: epochs, or micro-steps; 0 where it is not known."""

    total: float
    in_epochs: bool

    def clock(self) -> dict[str, bool]:
        return {"by_epoch": self.in_epochs, "convert_to_iter_based": self.in_epochs}


def schedule(context: Context) -> None:
    """The curve, where the spec gives one, or where a new length would leave the config's too short."""
    said = [f"scheduler.{k}" for k in _KEYS if f"scheduler.{k}" in context.request.values]
    context.wants.claim([*said, *DS_SCHEDULER_ALONE])
    context.wants.tell(*ds_scheduler_alone(context.spec, "XTuner"))
    if context.spec.scheduler.type == "cosine_with_min_lr":
        context.wants.claim(["scheduler.min_lr", "scheduler.min_lr_ratio"])
    key = said[0] if said else _length_key(context)
    if not key or context.wants.shape.get("framework") == "huggingface":
        return
    length = _length(context)
    kind = _kind(context)
    if kind is None:
        if said:
            _refuse(context, key, "the config's own schedulers are not known", "Give `scheduler.type`.")
        else:
            _tell_old_length(context, key)
        return
    if kind == "constant":
        context.wants.clear("param_scheduler", key)
        return
    if not length.total and kind != "constant_with_warmup":
        _refuse(context, key, "its length is not known", "Give `training.epochs` or `training.max_steps`.")
        return
    warm = _warmup(context, length)
    if warm is not None:
        _write(context, kind, length, warm, key)
    elif said:
        _refuse(context, key, "the config's warm-up is not known", "Give `scheduler.warmup_ratio`.")
    else:
        _tell_old_length(context, key)


def _length_key(context: Context) -> str:
    """The key that changes the length of the config's curve, if one does."""
    values, shape = context.request.values, context.shape
    steps = values.get("training.max_steps", -1)
    if steps > 0:
        same = context.own_micro("train_cfg.max_iters", steps)
        return "" if same else "training.max_steps"
    epochs = values.get("training.epochs")
    same = epochs is not None and epochs == shape.number("train_cfg.max_epochs")
    return "training.epochs" if epochs is not None and not same else ""


def _length(context: Context) -> _Length:
    training = context.spec.training
    if isinstance(training.max_steps, int) and training.max_steps > 0:
        own = context.own_micro("train_cfg.max_iters", training.max_steps)
        return _Length(own or training.max_steps * (context.accumulation or 0), False)
    if isinstance(training.epochs, int | float):
        whole = float(training.epochs).is_integer()
        return _Length(int(training.epochs) if whole else training.epochs, True)
    iters = context.shape.number("train_cfg.max_iters")
    if iters:
        return _Length(iters, False)
    return _Length(context.shape.number("train_cfg.max_epochs") or 0, True)


def _kind(context: Context) -> str | None:
    """The curve's name in the spec's words: the spec's own, else the config's where it is known."""
    kind = context.spec.scheduler.type
    if kind is not UNSET and kind is not AUTO:
        return str(kind)
    last = f"param_scheduler.{context.shape.entries() - 1}.type" if context.shape.entries() else ""
    names = {"CosineAnnealingLR": "cosine", "PolyLR": "linear"}
    if not context.shape.known:
        return "cosine" if context.spec.scheduler.warmup_ratio is not UNSET else None
    return names.get(str(context.shape.get(last)))


def _warmup(context: Context, length: _Length) -> tuple[float, bool] | None:
    """Its end, and whether that is in epochs. The config's own share where the spec is silent."""
    scheduler, shape = context.spec.scheduler, context.shape
    if isinstance(scheduler.warmup_steps, int):
        if context.accumulation is None:
            context.wants.tell(steps_need_accumulation("scheduler.warmup_steps", scheduler.warmup_steps))
            return 0, False
        return scheduler.warmup_steps * context.accumulation, False
    ratio: Any = scheduler.warmup_ratio
    if not isinstance(ratio, int | float):
        if shape.entries() == 1:
            return 0, length.in_epochs
        end, total = shape.number("param_scheduler.0.end"), shape.number("param_scheduler.1.end")
        if end is None or not total:
            return None
        ratio = round(end / total, 12)
    if length.in_epochs:
        return round(ratio * length.total, 12), True
    accumulation = context.accumulation or 1
    return math.ceil(round(ratio * length.total / accumulation, 9)) * accumulation, False


def _write(context: Context, kind: str, length: _Length, warm: tuple[float, bool], key: str) -> None:
    end, in_epochs = warm
    wants = context.wants
    if kind == "constant_with_warmup":
        clock = _Length(end, in_epochs).clock()
        if end:
            wants.replace("param_scheduler", {**_WARM, **clock, "end": end}, key)
        else:
            wants.clear("param_scheduler", key)
        return
    least = _least(context) if kind == "cosine_with_min_lr" else 0.0
    if not isinstance(least, int | float):
        hint = "Give `scheduler.min_lr`, or `scheduler.min_lr_ratio` and `optimizer.lr`."
        _refuse(context, key, "the end of the curve is not given", hint)
        return
    curve = {"type": _CURVES[kind], "eta_min": least, **length.clock()}
    if kind == "linear":
        curve["power"] = 1.0
    if not end:
        whole = {**curve, "begin": 0, "end": length.total}
        if context.shape.known and context.shape.entries() == 1:
            _entry(context, 0, whole, key)
        else:
            wants.replace("param_scheduler", whole, key)
        return
    if context.shape.known and context.shape.entries() != 2:
        why = f"{context.shape.source} lists no warm-up that an option could change"
        _refuse(context, key, why, "Add a LinearLR entry before it, in a copy of the config (--base).")
        return
    if in_epochs == length.in_epochs and end >= length.total:
        # mmengine 0.10.6 optim/scheduler/param_scheduler.py:68 stops: "end should be larger than begin"
        _refuse(context, key, "the warm-up is as long as the run", "Warm up for fewer steps than you train.")
        return
    begin = end
    if in_epochs != length.in_epochs:
        begin = 0
        message = "a warm-up in steps before a curve in epochs: the curve starts at step 0, below the warm-up"
        hint = "Give `scheduler.warmup_ratio`, or `training.max_steps` in place of epochs."
        wants.tell(codes.CURVE(message, hint=hint, key=key))
    first = {"type": "LinearLR", "begin": 0, "end": end, **_Length(end, in_epochs).clock()}
    _entry(context, 0, first, key)
    _entry(context, 1, {**curve, "begin": begin, "end": length.total}, key)


def _least(context: Context) -> Any:
    """The rate at the end, given as such or as a share of the peak."""
    scheduler, peak = context.spec.scheduler, context.spec.optimizer.lr
    if isinstance(scheduler.min_lr_ratio, int | float):
        return scheduler.min_lr_ratio * peak if isinstance(peak, int | float) else UNSET
    return scheduler.min_lr


def _entry(context: Context, index: int, values: dict[str, Any], key: str) -> None:
    for name, value in values.items():
        path = f"param_scheduler.{index}.{name}"
        kept = context.spec.scheduler.type in (UNSET, AUTO) and name == "eta_min" and context.shape.known
        if kept:
            continue  # the config's own end of the curve
        fixed = name not in ("begin", "end")  # those two move with the config's variables
        (context.wants.ensure if fixed else context.wants.set)(path, value, key)


def _refuse(context: Context, key: str, why: str, hint: str) -> None:
    message = f"the learning-rate curve cannot be written: {why}"
    context.wants.tell(codes.NO_CURVE(message, hint=hint, key=key))


def _tell_old_length(context: Context, key: str) -> None:
    message = f"`param_scheduler` of {context.shape.source} keeps its own length; `{key}` changes the run's"
    hint = "Give `scheduler.type` and `scheduler.warmup_ratio`; both lengths then agree."
    context.wants.tell(codes.CURVE(message, hint=hint, key=key))
