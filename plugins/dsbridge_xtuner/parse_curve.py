"""`param_scheduler` in the spec's words: the way back from `schedule`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from dsbridge.sdk import Claim
from dsbridge_xtuner.view import View

_ROOT = "param_scheduler"


class _Entry(NamedTuple):
    """One scheduler of the list."""

    path: str
    kind: str
    begin: float
    end: float
    in_epochs: bool


def curve(view: View) -> Iterator[Claim]:
    """The curve and its warm-up, if the list is one that rendering writes."""
    if view.trainer or not view.has("optim_wrapper"):
        return
    if not view.has(_ROOT):
        yield Claim("scheduler.type", "constant")
        return
    found = _entries(view)
    if not found or len(found) > 2:
        return
    warm = found[0] if found[0].kind == "LinearLR" else None
    rest = found[1:] if warm else found
    if (warm and not _rises(view, warm)) or len(rest) > 1 or (warm and not rest and warm.begin):
        return
    if not rest:
        assert warm
        yield from _warmup_only(view, warm)
        return
    named = _curve(view, rest[0])
    whole = _whole(view, rest[0], warm)
    if named and whole:
        yield from named
        yield from _warmup(view, warm, rest[0])


def _entries(view: View) -> list[_Entry] | None:
    """The schedulers in order; None if one of them cannot be read."""
    value = view.get(_ROOT)
    paths = [_ROOT] if isinstance(value, dict) else []
    if isinstance(value, list | tuple):
        paths = [f"{_ROOT}.{index}" for index in range(len(value))]
    found = []
    for path in paths:
        begin, end = view.number(f"{path}.begin"), view.number(f"{path}.end")
        clock = view.get(f"{path}.by_epoch")
        if end is None or (begin is None and view.has(f"{path}.begin")):
            return None
        found.append(_Entry(path, view.name(f"{path}.type"), begin or 0, end, clock is not False))
    return found


def _rises(view: View, warm: _Entry) -> bool:
    """From next to nothing to the whole rate."""
    start, end = view.number(f"{warm.path}.start_factor"), view.number(f"{warm.path}.end_factor")
    unset = start is None and not view.has(f"{warm.path}.start_factor")
    return (unset or (start is not None and start < 1)) and end in (None, 1) and not warm.begin


def _whole(view: View, entry: _Entry, warm: _Entry | None) -> bool:
    """The curve begins where the warm-up ends, and ends with the run."""
    field = "train_cfg.max_epochs" if entry.in_epochs else "train_cfg.max_iters"
    total = view.number(field)
    starts = entry.begin == (warm.end if warm else 0) if not warm or warm.in_epochs == entry.in_epochs else (
        entry.begin == 0
    )  # fmt: skip
    return bool(starts and total and abs(total - entry.end) <= 1e-9 * total)


def _curve(view: View, entry: _Entry) -> list[Claim]:
    least = view.number(f"{entry.path}.eta_min")
    if least is None and view.has(f"{entry.path}.eta_min"):
        return []
    name = f"{entry.path}.type"
    if entry.kind == "CosineAnnealingLR" and not view.has(f"{entry.path}.eta_min_ratio"):
        if not least:
            return [view.claim("scheduler.type", "cosine", name)]
        floor = view.claim("scheduler.min_lr", least, f"{entry.path}.eta_min")
        return [view.claim("scheduler.type", "cosine_with_min_lr", name), floor]
    if entry.kind == "PolyLR" and not least and view.number(f"{entry.path}.power") in (None, 1):
        return [view.claim("scheduler.type", "linear", name)]
    return []


def _warmup(view: View, warm: _Entry | None, entry: _Entry) -> Iterator[Claim]:
    if warm is None:
        yield Claim("scheduler.warmup_ratio", 0)
        return
    name = f"{warm.path}.end"
    steps = None if warm.in_epochs else _optimizer_steps(view, warm.end)
    if warm.in_epochs == entry.in_epochs:
        yield view.claim("scheduler.warmup_ratio", round(warm.end / entry.end, 12), name)
    elif steps is not None:
        yield view.claim("scheduler.warmup_steps", steps, name)


def _warmup_only(view: View, warm: _Entry) -> Iterator[Claim]:
    total = view.number("train_cfg.max_epochs" if warm.in_epochs else "train_cfg.max_iters")
    steps = None if warm.in_epochs else _optimizer_steps(view, warm.end)
    if steps is not None:
        yield view.claim("scheduler.type", "constant_with_warmup", f"{warm.path}.type")
        yield view.claim("scheduler.warmup_steps", steps, f"{warm.path}.end")
    elif total:
        yield view.claim("scheduler.type", "constant_with_warmup", f"{warm.path}.type")
        yield view.claim("scheduler.warmup_ratio", round(warm.end / total, 12), f"{warm.path}.end")


def _optimizer_steps(view: View, micro: Any) -> int | None:
    """Micro-steps as optimizer steps, if they are whole ones."""
    counts = view.number("optim_wrapper.accumulative_counts") or 1
    return int(micro // counts) if micro % counts == 0 else None
