"""The optimizer and scheduler lines of an Accelerate script."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsbridge.sdk import AUTO, UNSET, ParallelSpec

CLASSES = {
    "adamw": "torch.optim.AdamW",
    "adam": "torch.optim.Adam",
    "sgd": "torch.optim.SGD",
    "adagrad": "torch.optim.Adagrad",
    "adafactor": "torch.optim.Adafactor",
    "muon": "torch.optim.Muon",
    "lamb": "deepspeed.ops.lamb.FusedLamb",
    "lion": "bitsandbytes.optim.Lion",
    "adamw_8bit": "bitsandbytes.optim.AdamW8bit",
    "paged_adamw_8bit": "bitsandbytes.optim.PagedAdamW8bit",
}
_PARAMS = ("lr", "betas", "eps", "weight_decay")
# what their constructors lack
_LACKS = {
    "sgd": ("betas", "eps"),
    "adagrad": ("betas",),
    "adafactor": ("betas",),
    "muon": ("betas",),
    "lion": ("eps",),
}


def optimizer_lines(spec: ParallelSpec, config: Mapping[str, Any] | None) -> list[str]:
    """The line that makes what the spec says; a DummyOptim where DeepSpeed makes it."""
    if config and "optimizer" in config:
        params = config["optimizer"].get("params", {}) if isinstance(config["optimizer"], dict) else {}
        # Accelerate takes these two from it where the file says "auto" (accelerator.py:2329-2332)
        theirs = [f", {name}=..." for name in ("lr", "weight_decay") if params.get(name) == "auto"]
        return [f"optimizer = accelerate.utils.DummyOptim(model.parameters(){''.join(theirs)})"]
    given = {name: getattr(spec.optimizer, name) for name in _PARAMS}
    given = {name: value for name, value in given.items() if value not in (UNSET, AUTO)}
    kind = spec.optimizer.type
    if kind is UNSET and not given:
        return []
    kind = "adamw" if kind in (UNSET, AUTO) else str(kind)
    lacks = [key for key in _LACKS.get(kind, ()) if key in given]
    words = [f"{key}={value!r}" for key, value in given.items() if key not in lacks]
    name = CLASSES[kind]
    notes = [f"# {name} takes no {key}: {given[key]!r} has no place" for key in lacks]
    return [f"optimizer = {name}({', '.join(['model.parameters()', *words])})", *notes]


def scheduler_lines(spec: ParallelSpec, config: Mapping[str, Any] | None) -> list[str]:
    """As above. Accelerate steps a torch scheduler once a process (scheduler.py:74), so its steps
    are counted in processes too; a scheduler that DeepSpeed steps is not."""
    if config and "scheduler" in config:
        return _dummy_scheduler(spec, config["scheduler"])
    scheduler = spec.scheduler
    given = [scheduler.type, scheduler.warmup_ratio, scheduler.warmup_steps, scheduler.min_lr]
    if all(value in (UNSET, AUTO) for value in (*given, scheduler.min_lr_ratio)):
        return []
    dummy = bool(config and "optimizer" in config)
    lines = []
    total = spec.training.max_steps
    known = total if isinstance(total, int) and total > 0 else None
    lines.append(f"steps = {known or '...'}  # optimizer steps of the whole run")
    made = _get_scheduler(spec, "" if dummy else " * accelerator.num_processes")
    if dummy:
        # next to DummyOptim only DummyScheduler is allowed (accelerator.py:2286-2291)
        made = f"accelerate.utils.DummyScheduler(optimizer, lr_scheduler_callable=lambda optimizer: {made})"
    return [*lines, f"scheduler = {made}"]


def _dummy_scheduler(spec: ParallelSpec, block: Any) -> list[str]:
    """Accelerate fills "auto" from it: the total divided by the processes (accelerator.py:2350), the warm-up
    as it is."""
    params = block.get("params") if isinstance(block, Mapping) else None
    params, ratio = params if isinstance(params, Mapping) else {}, spec.scheduler.warmup_ratio
    words = []
    if params.get("total_num_steps") == "auto":
        words.append("total_num_steps=steps * accelerator.num_processes")
    if params.get("warmup_num_steps") == "auto" and isinstance(ratio, int | float):
        words.append(f"warmup_num_steps=math.ceil({ratio!r} * steps)")
    lines = ["steps = ...  # optimizer steps of the whole run"] if words else []
    return [*lines, f"scheduler = accelerate.utils.DummyScheduler({', '.join(['optimizer', *words])})"]


def _get_scheduler(spec: ParallelSpec, times: str) -> str:
    scheduler = spec.scheduler
    kind = "linear" if scheduler.type in (UNSET, AUTO) else str(scheduler.type)
    warmup = "0"
    if isinstance(scheduler.warmup_ratio, int | float):
        warmup = f"math.ceil({scheduler.warmup_ratio!r} * steps){times}"
    elif isinstance(scheduler.warmup_steps, int):
        warmup = f"{scheduler.warmup_steps}{times}"
    words = [repr(kind), "optimizer", f"num_warmup_steps={warmup}", f"num_training_steps=steps{times}"]
    for name, value in (("min_lr", scheduler.min_lr), ("min_lr_rate", scheduler.min_lr_ratio)):
        if kind == "cosine_with_min_lr" and isinstance(value, int | float):
            words.append(f'scheduler_specific_kwargs={{"{name}": {value!r}}}')
    return f"transformers.get_scheduler({', '.join(words)})"
