"""DeepSpeed's `optimizer` block, for those who let DeepSpeed build the optimizer."""

from __future__ import annotations

from typing import Any

from dsbridge.deepspeed.dialect import OPTIMIZER, Dialect, Fragment
from dsbridge.deepspeed.versions import optimizer_missing
from dsbridge.spec import ParallelSpec
from dsbridge.spec.leaves import leaves, plain
from dsbridge.values import AUTO, UNSET

# DEEPSPEED_OPTIMIZERS of deepspeed/runtime/config.py 0.19.8, as DeepSpeed's examples spell them;
# any other name is looked up in torch.optim (engine.py _configure_basic_optimizer)
TYPES = {
    "adamw": "AdamW",
    "adam": "Adam",
    "adagrad": "Adagrad",
    "lamb": "Lamb",
    "lion": "Lion",
    "muon": "Muon",
    "sgd": "SGD",
}
# the parameters that each of them takes
PARAMS = {
    "adamw": ("lr", "betas", "eps", "weight_decay"),
    "adam": ("lr", "betas", "eps", "weight_decay"),
    "adagrad": ("lr", "eps", "weight_decay"),
    "lamb": ("lr", "betas", "eps", "weight_decay"),
    "lion": ("lr", "betas", "weight_decay"),
    "muon": ("lr", "weight_decay"),
    "sgd": ("lr", "weight_decay"),
}
FIELDS = ("type", "lr", "betas", "eps", "weight_decay")


def owner_is_deepspeed(spec: ParallelSpec, dialect: Dialect) -> bool:
    """Whether DeepSpeed builds the optimizer: the spec's word, else the dialect's habit."""
    owner = spec.optimizer.owner
    if owner is not UNSET:
        return owner == "deepspeed"
    said = any(getattr(spec.optimizer, name) is not UNSET for name in FIELDS)
    return dialect.owner == "deepspeed" and said


def optimizer_part(spec: ParallelSpec, dialect: Dialect) -> Fragment:
    """The block, if DeepSpeed is to build the optimizer; nothing (and no claim) otherwise."""
    if not owner_is_deepspeed(spec, dialect):
        return Fragment()
    kind = spec.optimizer.type
    name = "adamw" if kind is UNSET or kind is AUTO else str(kind)
    owner = {"optimizer.owner"}
    if name not in TYPES:
        hint = f"DeepSpeed builds {', '.join(TYPES)}. Or write `optimizer.owner: framework`."
        refused = OPTIMIZER(f"DeepSpeed has no optimizer `{name}`", hint=hint, key="optimizer.type")
        return Fragment({}, frozenset(owner), (refused,))
    version = optimizer_missing(name, dialect)
    if version:
        hint = f"{dialect.title} runs with that version. Write `optimizer.owner: framework`, or another type."
        refused = OPTIMIZER(f"DeepSpeed {version} has no optimizer `{name}`", hint=hint, key="optimizer.type")
        return Fragment({}, frozenset(owner), (refused,))
    keys: dict[str, Any] = {"optimizer.type": TYPES[name]}
    claimed = {"optimizer.type", *owner}
    for param in PARAMS[name]:
        value = getattr(spec.optimizer, param)
        key = f"optimizer.params.{param}"
        if key in dialect.takes:
            keys[key] = "auto"
        elif value is not UNSET and value is not AUTO:
            keys[key] = plain(value)
            claimed.add(f"optimizer.{param}")
        elif value is AUTO:
            claimed.add(f"optimizer.{param}")
    if name == "sgd" and spec.zero.allow_untested_optimizer is UNSET and spec.zero.stage not in (UNSET, 0):
        # ZeRO stops with "You are using an untested ZeRO Optimizer" for every type not in its list
        keys["zero_allow_untested_optimizer"] = True
    unknown = [p for p in ("betas", "eps") if p not in PARAMS[name] and f"optimizer.{p}" in leaves(spec)]
    found = tuple(
        OPTIMIZER(
            f"`optimizer.{p}` is given, but {TYPES[name]} takes {', '.join(PARAMS[name])}",
            hint="Remove it.",
            key=f"optimizer.{p}",
        )
        for p in unknown
    )
    return Fragment(keys, frozenset(claimed), found)
