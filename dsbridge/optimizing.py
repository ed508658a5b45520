"""Who makes the optimizer and steps the learning rate, and with which numbers, as far as the input says.

DeepSpeed's own blocks say it, or the arguments and configs of the framework. What stands in a user's script
is not read here: then nothing is said (`unsaid`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from dsbridge.deepspeed.scheduler import TYPES as CURVES
from dsbridge.diagnostics import InputError
from dsbridge.explaining import Explanation
from dsbridge.rules import numbers
from dsbridge.trees import flat, lookup
from dsbridge.values import UNSET, Unknown

_ADAM: Mapping[str, Any] = {"lr": 1e-3, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0}
# what a class takes that is not told (torch/optim, deepspeed/ops): the same in all recorded versions
_DEFAULTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "torch.AdamW": {**_ADAM, "weight_decay": 0.01},
        "torch.Adam": _ADAM,
        "deepspeed.FusedAdam": _ADAM,
        "deepspeed.DeepSpeedCPUAdam": _ADAM,
        "torch.SGD": {"lr": 1e-3, "momentum": 0, "weight_decay": 0},
    }
)
# classes that compute the same; FusedAdam and DeepSpeedCPUAdam are AdamW unless adam_w_mode is false
_ALGORITHMS = {
    "deepspeed.FusedAdam": "adamw",
    "deepspeed.DeepSpeedCPUAdam": "adamw",
    "deepspeed.FusedLamb": "lamb",
    "deepspeed.FusedLion": "lion",
    "deepspeed.DeepSpeedCPULion": "lion",
    "deepspeed.DeepSpeedCPUAdagrad": "adagrad",
}
# at these values a number is as good as absent
_USUAL: Mapping[str, Any] = {
    "bias_correction": True,
    "amsgrad": False,
    "maximize": False,
    "set_grad_none": True,
}
_MODES = ("adam_w_mode", "torch_adam", "fp32_optimizer_states")  # which class it is, not its numbers
# deepspeed/runtime/lr_schedules.py
_WARMUP = {"warmup_min_lr": 0.0, "warmup_max_lr": 0.001, "warmup_num_steps": 1000, "warmup_type": "log"}
# WarmupLR alone takes the optimizer's rate where no peak is given, and only from this release on
_PEAK_IS_LR = (0, 17, 2)
_OF_THE_OPTIMIZER = object()
_SCHEDULES: Mapping[str, Mapping[str, Any]] = {
    "WarmupLR": {**_WARMUP, "warmup_max_lr": _OF_THE_OPTIMIZER},
    "WarmupDecayLR": _WARMUP,
    "WarmupCosineLR": {"warmup_min_ratio": 0.0, "warmup_num_steps": 1000, "cos_min_ratio": 0.0001,
                       "warmup_type": "log"},
}  # fmt: skip
DEEPSPEED, FRAMEWORK, SCRIPT = "deepspeed", "framework", "script"


class Optimizing(NamedTuple):
    """values: by path. unsaid: the parts whose numbers stand in a script. steps: of the whole run."""

    values: Mapping[str, Any]
    unsaid: frozenset[str]
    steps: Any


def optimizing(found: Explanation) -> Optimizing:
    """The optimizer and the scheduler of a run that reaches the engine."""
    trees = found.result.trees
    values: dict[str, Any] = {}
    unsaid = set()
    for part, read in (("optimizer", _optimizer), ("scheduler", _scheduler)):
        owner, said = read(trees)
        if not any(name.startswith(_TELLS[part]) for name in said):
            claimed = _claimed(found, part)
            listed = _listed_curve(lookup(trees, "cfg.param_scheduler")) if part == "scheduler" else {}
            unsaid |= set() if claimed or listed else {part}
            said = {**said, **(claimed or listed)}
        values |= {f"{part}.{name}": value for name, value in said.items()}
        values[f"{part}.owner"] = owner
    if values.get("scheduler.params.warmup_max_lr") is _OF_THE_OPTIMIZER:
        values["scheduler.params.warmup_max_lr"] = _peak(found.versions, values)
    steps = lookup(trees, "run.steps")
    unknown = Unknown(frozenset({"num_training_steps"}))
    whole = found.facts.get("num_training_steps", unknown) if steps is UNSET else steps
    return Optimizing(values, frozenset(unsaid), whole)


def _peak(versions: Mapping[str, str], values: Mapping[str, Any]) -> Any:
    """Where WarmupLR climbs to if nobody says it."""
    have = versions.get("deepspeed")
    if have and numbers(have) < _PEAK_IS_LR:
        return _WARMUP["warmup_max_lr"]
    return values.get("optimizer.params.lr", Unknown(frozenset({"optimizer.lr"})))


_TELLS = {"optimizer": "params.", "scheduler": "type"}


def _claimed(found: Explanation, part: str) -> dict[str, Any]:
    """What the framework's parser reads of it, where it reads more than the trees show."""
    if found.input.reader.parse is None:
        return {}
    from dsbridge.parsing import parse_input

    try:
        claims = parse_input(found.input).claims
    except InputError:
        return {}
    said = {path.partition(".")[2]: c.value for path, c in claims.items() if path.startswith(f"{part}.")}
    if part == "scheduler":
        said.pop("owner", None)
        # a config says all of it: without a warm-up there is none; a script may have one that is not read
        if (
            lookup(found.result.trees, "cfg") is not UNSET
            and not {"warmup_steps", "warmup_ratio"} & said.keys()
        ):
            said["warmup_steps"] = 0
        return said if "type" in said else {}
    name = lookup(found.result.trees, "made.optimizer")
    numbers = {key: value for key, value in said.items() if key not in ("owner", "type")}
    return _numbers(name, numbers) if "lr" in said else {}


def _block(trees: Mapping[str, Any], name: str) -> tuple[str, Mapping[str, Any]] | None:
    """DeepSpeed's own block, if it is the one that holds: type and params."""
    kind, params = lookup(trees, f"engine.{name}.type"), lookup(trees, f"engine.{name}.params")
    mine = lookup(trees, f"init.{name}.class")
    if isinstance(kind, str) and (mine is UNSET or mine is None):
        return kind, params if isinstance(params, Mapping) else {}
    return None


def _optimizer(trees: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    name = lookup(trees, "made.optimizer")
    found: dict[str, Any] = {"class": name}
    block = _block(trees, "optimizer")
    if block:
        kind, params = block
        plain = kind.lower() == "adam" and params.get("adam_w_mode", True) is False
        found["type"] = "adam" if plain else _algorithm(name)
        return DEEPSPEED, found | _numbers(name, {k: v for k, v in params.items() if k not in _MODES})
    found["type"] = _algorithm(name)
    args, own = lookup(trees, "args"), lookup(trees, "cfg.optim_wrapper.optimizer")
    if isinstance(args, Mapping) and "learning_rate" in args:
        return FRAMEWORK, found | _numbers(name, _arguments(args, found["type"]))
    if isinstance(own, Mapping):
        given = {key: value for key, value in own.items() if key != "type"}
        return FRAMEWORK, found | _numbers(name, given)
    return SCRIPT, found


def _algorithm(name: Any) -> Any:
    if not isinstance(name, str):
        return name
    return _ALGORITHMS.get(name, name.rpartition(".")[2].lower())


def _arguments(args: Mapping[str, Any], algorithm: Any) -> dict[str, Any]:
    """The numbers of TrainingArguments that this optimizer takes."""
    found = {"lr": args.get("learning_rate"), "weight_decay": args.get("weight_decay")}
    if "adam" in str(algorithm) or "lion" in str(algorithm):
        found["betas"] = [args.get("adam_beta1"), args.get("adam_beta2")]
        if "adam" in str(algorithm):
            found["eps"] = args.get("adam_epsilon")
    if args.get("optim_args"):
        found["optim_args"] = args["optim_args"]
    return found


def _numbers(name: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    whole = {**_DEFAULTS.get(str(name), {}), **{k: v for k, v in given.items() if v is not None}}
    whole = {key: value for key, value in whole.items() if _USUAL.get(key, UNSET) is not value}
    return {f"params.{key}": value for key, value in whole.items()}


def _scheduler(trees: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    block = _block(trees, "scheduler")
    if block:
        kind, params = block
        whole = {**_SCHEDULES.get(kind, {}), **params}
        curve = next((curve for curve, name in CURVES.items() if name == kind), kind)
        found = {"type": curve, **{f"params.{key}": value for key, value in whole.items()}}
        if "warmup_num_steps" in whole:
            found["warmup_steps"] = found.pop("params.warmup_num_steps")
        return DEEPSPEED, found
    args = lookup(trees, "args")
    if isinstance(args, Mapping) and "lr_scheduler_type" in args:
        return FRAMEWORK, _argument_curve(args)
    return SCRIPT if lookup(trees, "cfg") is UNSET else FRAMEWORK, {}


def _argument_curve(args: Mapping[str, Any]) -> dict[str, Any]:
    """The Trainer's own curve. A share of all steps may be in either argument, by version."""
    number = args.get("warmup_steps") or args.get("warmup_ratio") or 0
    more = args.get("lr_scheduler_kwargs")
    kwargs = flat(more, "params") if isinstance(more, Mapping) and more else {}
    share = isinstance(number, float) and 0 < number < 1
    return {
        "type": args.get("lr_scheduler_type"),
        **kwargs,
        "warmup_ratio" if share else "warmup_steps": number,
    }


def warmup(a: Optimizing, b: Optimizing) -> tuple[dict[str, Any], dict[str, Any]]:
    """The values of both; a warm-up that is a share here and a number there becomes a number."""
    whole = dict(a.values), dict(b.values)
    ratio, number = "scheduler.warmup_ratio", "scheduler.warmup_steps"
    if (ratio in whole[0]) is not (ratio in whole[1]):
        for side, values in zip((a, b), whole, strict=True):
            share = values.pop(ratio, 0)
            if share:
                values[number] = (
                    side.steps if isinstance(side.steps, Unknown) else math.ceil(side.steps * share)
                )
    return whole


def _listed_curve(entries: Any) -> dict[str, Any]:
    """mmengine's list of schedulers, each for a part of the run; the last gives the curve its name."""
    if entries is UNSET:
        return {}
    if entries is None or entries == []:
        return {"type": "constant", "warmup_steps": 0}
    parts = entries if isinstance(entries, list) else [entries]
    last = parts[-1] if isinstance(parts[-1], Mapping) else {}
    name = str(lookup(last, "type.class") or last.get("type"))
    curve = {"CosineAnnealingLR": "cosine", "ConstantLR": "constant", "LinearLR": "linear"}
    found: dict[str, Any] = {"type": curve.get(name.rpartition(".")[2], name)}
    return {**found, "entries": parts}
