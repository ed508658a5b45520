"""Learning rates, step by step, as the installed packages compute them.

    python -m conformance.curves --out tests/recorded/curves/hf.json

Run it with the Python of an environment of conformance/envs. DeepSpeed's schedulers, Transformers' and (where
it is installed) mmengine's step a real torch optimizer of peak rate 1; what is recorded is the rate that each
optimizer step takes.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

STEPS, WARMUP, TOTAL = 14, 4, 10
_LINEAR = {"warmup_num_steps": WARMUP, "warmup_type": "linear"}
_PEAK, _WHOLE = {"warmup_max_lr": 1.0}, {"total_num_steps": TOTAL}
DEEPSPEED: dict[str, tuple[str, dict[str, Any]]] = {
    "warmup-log": ("WarmupLR", {**_PEAK, "warmup_num_steps": WARMUP}),
    "warmup-linear": ("WarmupLR", {**_PEAK, **_LINEAR}),
    "warmup-one-step": ("WarmupLR", {**_PEAK, **_LINEAR, "warmup_num_steps": 1}),
    "warmup-from": ("WarmupLR", {**_PEAK, **_LINEAR, "warmup_min_lr": 0.5}),
    "decay-log": ("WarmupDecayLR", {**_PEAK, **_WHOLE, "warmup_num_steps": WARMUP}),
    "decay-linear": ("WarmupDecayLR", {**_PEAK, **_WHOLE, **_LINEAR}),
    "cosine-log": ("WarmupCosineLR", {**_WHOLE, "warmup_num_steps": WARMUP}),
    "cosine-linear": ("WarmupCosineLR", {**_WHOLE, **_LINEAR, "cos_min_ratio": 0.0}),
    "cosine-end": ("WarmupCosineLR", {**_WHOLE, **_LINEAR, "cos_min_ratio": 0.25}),
}
TRANSFORMERS: dict[str, tuple[str, dict[str, Any]]] = {
    "constant_with_warmup": ("constant_with_warmup", {}),
    "linear": ("linear", {}),
    "cosine": ("cosine", {}),
    "cosine_with_min_lr": ("cosine_with_min_lr", {"scheduler_specific_kwargs": {"min_lr_rate": 0.25}}),
}
PACKAGES = ("deepspeed", "transformers", "mmengine", "torch")


def main() -> None:
    """Write what the packages of this environment compute."""
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    logging.disable(logging.CRITICAL)
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    versions = {name: version for name in PACKAGES if (version := _version(name))}
    curves = {**dict(_deepspeed()), **dict(_transformers())}
    if "mmengine" in versions:
        curves |= dict(_mmengine())
    out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"versions": versions, "curves": curves}, indent=1)
    out.write_text(text + "\n", encoding="utf-8")


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _deepspeed() -> Iterator[tuple[str, list[float]]]:
    from deepspeed.runtime import lr_schedules

    for name, (kind, params) in DEEPSPEED.items():
        optimizer = _optimizer()
        # DeepSpeed's engine steps it behind the optimizer: runtime/engine.py _take_model_step
        yield f"deepspeed/{name}", _rates(optimizer, getattr(lr_schedules, kind)(optimizer, **params))


def _transformers() -> Iterator[tuple[str, list[float]]]:
    from transformers import get_scheduler

    for name, (kind, more) in TRANSFORMERS.items():
        optimizer = _optimizer()
        made = get_scheduler(kind, optimizer, num_warmup_steps=WARMUP, num_training_steps=TOTAL, **more)
        yield f"transformers/{name}", _rates(optimizer, made)


def _mmengine() -> Iterator[tuple[str, list[float]]]:
    """What dsbridge writes for XTuner, stepped in optimizer steps."""
    from mmengine.optim import CosineAnnealingLR, LinearLR, PolyLR

    for name, made, more in (
        ("constant_with_warmup", None, {}),
        ("linear", PolyLR, {"power": 1.0, "eta_min": 0.0}),
        ("cosine", CosineAnnealingLR, {"eta_min": 0.0}),
        ("cosine_with_min_lr", CosineAnnealingLR, {"eta_min": 0.25}),
    ):
        optimizer = _optimizer()
        parts = [LinearLR(optimizer, start_factor=1e-5, begin=0, end=WARMUP, by_epoch=False)]
        if made is not None:
            parts.append(made(optimizer, begin=WARMUP, end=TOTAL, by_epoch=False, **more))
        yield f"mmengine/{name}", _rates(optimizer, *parts)


def _optimizer() -> Any:
    import torch

    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)


def _rates(optimizer: Any, *schedulers: Any) -> list[float]:
    found = []
    for _ in range(STEPS):
        found.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    return found


if __name__ == "__main__":
    main()
