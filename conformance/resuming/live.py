"""What a live engine holds of its optimizer, gathered from all ranks, and how that is like what was saved."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch

STATES = ("exp_avg", "exp_avg_sq", "momentum_buffer")


def held(engine: Any) -> dict[str, Any]:
    """By parameter: the master weight and the optimizer's states, whole; None where there is none."""
    # releases before 0.17 leave the links to the master weights on the states after a universal checkpoint;
    # the links to the states are made by the first step, before the second group has any
    getattr(engine.optimizer, "_link_all_hp_params", lambda: None)()
    engine.optimizer._hp_optimizer_states_linked = False
    getattr(engine.optimizer, "_lazy_init_hp_params_optimizer_state", lambda: None)()
    keys = [key for key in STATES if everywhere(engine.optimizer, key)]
    named = [(name, p) for name, p in engine.module.named_parameters() if p.requires_grad]
    return {name: values(engine, p, keys) for name, p in named}


def values(engine: Any, parameter: Any, keys: list[str]) -> dict[str, Any]:
    """Master weight and states of one parameter, gathered from all ranks."""
    from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

    if hasattr(parameter, "ds_id") or hasattr(parameter, "_hp_mapping"):
        found = {"master": safe_get_full_fp32_param(parameter)}
        found |= {key: safe_get_full_optimizer_state(parameter, key) for key in keys}
    else:
        found = unsplit(engine.optimizer, parameter)
    return {key: value.detach().float().clone() for key, value in found.items() if value is not None}


def everywhere(optimizer: Any, key: str) -> bool:
    """Whether every rank has this state: all take part in gathering it."""
    inner = getattr(optimizer, "optimizer", optimizer)
    states = [state for state in inner.state.values() if torch.is_tensor(state.get(key))]
    flag = torch.tensor([int(bool(states))])
    torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MIN)
    return bool(flag.item())


def unsplit(optimizer: Any, parameter: Any) -> dict[str, Any]:
    """Of an optimizer that is not split: plain, or one that keeps flat fp32 copies."""
    inner = getattr(optimizer, "optimizer", optimizer)
    for low, high in zip(
        getattr(optimizer, "fp16_groups", []), getattr(optimizer, "fp32_groups", []) or [], strict=False
    ):
        for mine, copy in zip(low, high, strict=True):
            if mine is parameter:
                return {"master": copy, **inner.state.get(copy, {})}
    flats = getattr(optimizer, "fp32_groups_flat", [])
    for low, flat in zip(getattr(optimizer, "fp16_groups", []), flats, strict=False):
        start = 0
        for mine in low:
            if mine is parameter:
                cut = {
                    "master": flat.data,
                    **{k: v for k, v in inner.state.get(flat, {}).items() if torch.is_tensor(v) and v.dim()},
                }
                return {k: v.narrow(0, start, mine.numel()).view(mine.shape) for k, v in cut.items()}
            start += mine.numel()
    states = {k: v for k, v in inner.state.get(parameter, {}).items() if torch.is_tensor(v) and v.dim()}
    return {"master": parameter.data, **states}


def likeness(saved: dict[str, Any], found: dict[str, Any], key: str) -> str:
    """How what is held is like what was held: same, rounded, other, zero, absent, none (never was)."""
    pairs = [(one.get(key), found.get(name, {}).get(key)) for name, one in saved.items()]
    if all(was is None for was, _ in pairs):
        return "none"
    if all(now is None for _, now in pairs):
        return "absent"
    if any(was is None or now is None or was.shape != now.shape for was, now in pairs):
        return "other"
    if all(not now.any() for _, now in pairs):
        return "zero"
    if all(torch.equal(was, now) for was, now in pairs):
        return "same"
    near = all(torch.allclose(was, now, rtol=1e-2, atol=1e-3) for was, now in pairs)
    return "rounded" if near else "other"


def keep(engine: Any, path: str) -> None:
    """Remember what is held, to compare with after a resumption. Called on every rank."""
    found = held(engine)
    if int(os.environ.get("RANK", "0")) == 0:
        torch.save({"held": found, "steps": engine.global_steps}, path)


def compared(engine: Any, path: str) -> dict[str, Any]:
    """How what is held is like what `keep` remembered. Called on every rank."""
    truth, found = torch.load(path, weights_only=True), held(engine)
    return {
        "held": {key: likeness(truth["held"], found, key) for key in ("master", *STATES)},
        "new_parameters": len(set(found) - set(truth["held"])),
        "engine_steps": "same" if engine.global_steps == truth["steps"] else engine.global_steps,
    }


def mean(value: Any) -> float:
    """Of all ranks. Called on every rank."""
    whole = torch.as_tensor(value).detach().float().clone()
    torch.distributed.all_reduce(whole)
    return round(whole.item() / torch.distributed.get_world_size(), 4)


def tell(path: str, answer: dict[str, Any]) -> None:
    """Rank 0's answer."""
    if int(os.environ.get("RANK", "0")) == 0:
        Path(path).write_text(json.dumps(answer), encoding="utf-8")
