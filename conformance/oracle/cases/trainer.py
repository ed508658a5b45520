"""The HF Trainer: `TrainingArguments(deepspeed=...)`, its parsers, its launchers, and its own checks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from conformance.oracle.case import Case
from conformance.oracle.cases import _trainer_factors as factors
from conformance.oracle.cases import _trainer_launch as launch
from conformance.oracle.cases import _trainer_scripts as scripts
from conformance.oracle.cases import pairs
from conformance.oracle.cases._trainer_files import (
    BUCKETS,
    FROM_CONFIG,
    GONE,
    OPTIMIZER,
    PRETRAINED,
    SCHEDULER,
    plain,
)

TABLES = {
    "batch": factors.BATCH,
    "clip": factors.CLIP,
    "precision": factors.PRECISION,
    "optim": factors.OPTIM,
    "schedule": factors.SCHEDULE,
    "zero": factors.ZERO,
    "other": factors.OTHER,
    "argument": factors.ARGUMENTS,
}
# Run again with two real processes, to see that the one process of the oracle tells the truth.
REAL: tuple[str, ...] = (
    "trainer/batch/auto",
    "trainer/batch/steps-missing",
    "trainer/clip/other",
    "trainer/precision/no-blocks",
    "trainer/optim/block-arguments",
    "trainer/schedule/both",
    "trainer/zero/stage-3-auto",
    "trainer/zero/offload-cpu",
    "trainer/other/many-wrong-3",
    "trainer/flags/all",
    "trainer/launch/equal",
    "trainer/data/67",
)


def designed() -> list[Case]:
    """Every factor alone, then pairs."""
    return [
        *scripts.ways(),
        *scripts.parsers(),
        *launch.launchers(),
        *launch.launch_yaml(),
        *scripts.models(),
        *scripts.data(),
        *scripts.own_parsers(),
        *scripts.unreadable(),
        *alone(),
        *abilities(),
        *(paired(number, row) for number, row in enumerate(pairs(FACTORS))),
    ]


def alone() -> Iterator[Case]:
    """One change each."""
    for group, table in TABLES.items():
        for name, (ds, args) in table.items():
            yield plain(f"{group}/{name}", ds, args, facts=factors.FACTS.get(f"{group}/{name}", {}))


def abilities() -> Iterator[Case]:
    """GPUs that lack a number format."""
    no_bf16, no_fp16 = {"bf16": False, "fp16": True}, {"bf16": True, "fp16": False}
    fp16 = {"bf16": GONE, "fp16": True}
    yield plain("gpu/no-bf16", gpu=no_bf16)
    yield plain("gpu/no-bf16-eval", {}, {"bf16": GONE, "bf16_full_eval": True}, gpu=no_bf16)
    yield plain("gpu/no-bf16-fp16", {}, fp16, gpu=no_bf16)
    yield plain("gpu/no-bf16-config", {"bf16.enabled": True}, {"bf16": GONE}, gpu=no_bf16)
    yield plain("gpu/no-fp16", {}, fp16, gpu=no_fp16)


FACTORS: dict[str, list[Any]] = {
    "stage": [0, 1, 2, 3],
    "precision": ["bf16", "fp16", "none"],
    "blocks": ["auto", "missing", "explicit"],
    "offload": ["none", "cpu", "cpu-param"],
    "optimizer": ["torch", "block", "explicit"],
    "scheduler": ["hf", "block"],
    "batch": ["auto", "explicit", "no-steps", "total"],
    "clip": ["auto", "missing", "other"],
    "buckets": [False, True],
    "model": ["pretrained", "from-config", "first"],
    "world": [1, 2, 4],
}
_BATCHES: dict[str, dict[str, Any]] = {
    "auto": {},
    "explicit": {
        "train_micro_batch_size_per_gpu": 2,
        "gradient_accumulation_steps": 2,
        "train_batch_size": GONE,
    },
    "no-steps": {"gradient_accumulation_steps": GONE, "train_batch_size": GONE},
    "total": {"train_batch_size": 8},
}


def paired(number: int, row: dict[str, Any]) -> Case:
    """One row of the covering array as a case."""
    ds: dict[str, Any] = {"zero_optimization.stage": row["stage"], **_BATCHES[row["batch"]]}
    args: dict[str, Any] = {"max_steps": 30, "bf16": GONE}
    if row["precision"] != "none":
        args[row["precision"]] = True
    for name in ("fp16", "bf16"):
        if row["blocks"] == "missing":
            ds[name] = GONE
        elif row["blocks"] == "explicit":
            ds[name] = {"enabled": row["precision"] == name}
    cpu = {"device": "cpu", "pin_memory": True}
    if row["offload"] != "none":
        ds["zero_optimization.offload_optimizer"] = cpu
    if row["offload"] == "cpu-param":
        ds["zero_optimization.offload_param"] = cpu
    if row["optimizer"] == "block":
        ds["optimizer"] = OPTIMIZER
    elif row["optimizer"] == "explicit":
        ds["optimizer"] = {"type": "AdamW", "params": {"lr": 1e-4, "betas": [0.9, 0.999]}}
    if row["scheduler"] == "block":
        ds["scheduler"] = SCHEDULER
    ds |= BUCKETS if row["buckets"] else {}
    ds |= {"auto": {}, "missing": {"gradient_clipping": GONE}, "other": {"gradient_clipping": 0.5}}[
        row["clip"]
    ]
    model = FROM_CONFIG if row["model"] == "from-config" else PRETRAINED
    first = row["model"] == "first"
    return plain(f"pair/{number:03d}", ds, args, model=model, model_first=first, world_size=row["world"])


def setups() -> Any:
    """Whole set-ups as users have them: a template, some settings of their own, now and then a mistake."""
    from conformance.oracle.cases._trainer_setups import setups as strategy

    return strategy()
