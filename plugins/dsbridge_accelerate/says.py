"""What a script says that no rule asks about, but a spec does: names and numbers of its objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dsbridge.rulebook import CallSite, Script
from dsbridge_accelerate.objects import WRAPPERS, is_optimizer, is_scheduler

if TYPE_CHECKING:
    from dsbridge_accelerate.scripts import Values

# transformers' makers: the curve that each is called
_CURVES = {
    "get_linear_schedule_with_warmup": "linear",
    "get_cosine_schedule_with_warmup": "cosine",
    "get_constant_schedule": "constant",
    "get_constant_schedule_with_warmup": "constant_with_warmup",
}
# calls that stand for one value: the tree's key, the argument, its position
_CALLS = {
    "set_seed": ("seed", "seed", 0),
    "clip_grad_norm_": ("max_norm", "max_norm", 1),
}


def says(script: Script, values: Values) -> dict[str, Any]:
    """By the names that `parse_script` reads them by."""
    found: dict[str, Any] = {}
    for value in _prepared(script):
        if value.short != "DummyOptim" and is_optimizer(value):
            found["optimizer"] = _numbers(value, values)
        elif value.short != "DummyScheduler" and is_scheduler(value):
            found["scheduler"] = _curve(value, values)
        elif value.short == "from_pretrained":
            found["model"] = values.take(value, "pretrained_model_name_or_path", "says.model", 0)
    for name, (key, argument, position) in _CALLS.items():
        call = next(iter(script.named(name)), None)
        if call is not None:
            found[key] = values.take(call, argument, f"says.{key}", position)
    if any(not call.maybe for call in script.named("gradient_checkpointing_enable")):
        found["gradient_checkpointing"] = True
    return {name: value for name, value in found.items() if value is not None}


def _prepared(script: Script) -> Iterator[CallSite]:
    for call in script.named("prepare"):
        if isinstance(call.owner, CallSite) and call.owner.short == "Accelerator":
            for given in call.args:
                value = given
                while isinstance(value, CallSite) and value.short in WRAPPERS:
                    value = value.argument("model", 0)
                if isinstance(value, CallSite):
                    yield value


def _numbers(call: CallSite, values: Values) -> dict[str, Any]:
    places = {"lr": 1, "betas": None, "eps": None, "weight_decay": None}
    found = {name: values.take(call, name, f"says.optimizer.{name}", at) for name, at in places.items()}
    return {name: value for name, value in found.items() if value is not None}


def _curve(call: CallSite, values: Values) -> dict[str, Any]:
    kind, after = _CURVES.get(call.short), 1
    if call.short == "get_scheduler":
        kind, after = values.take(call, "name", "says.scheduler.type", 0), 2
    warmup = values.take(call, "num_warmup_steps", "says.scheduler.warmup_steps", after)
    found = {"type": kind, "warmup_steps": warmup}
    return {name: value for name, value in found.items() if value is not None}
