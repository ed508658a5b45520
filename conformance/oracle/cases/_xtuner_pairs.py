"""Pairs of factors of a config and of a DeepSpeed file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from conformance.oracle.case import Case
from conformance.oracle.cases import pairs
from conformance.oracle.cases._xtuner_files import AUTO, GONE, case, changed, config

FACTORS: dict[str, list[Any]] = {
    "stage": [0, 1, 2, 3, "auto"],
    "precision": ["auto", "bf16", "fp16", "none", "fp16+auto"],
    "gpu": ["both", "no-bf16"],
    "world": [1, 2, 4],
    "offload": ["none", "cpu", "cpu-forced"],
    "optimizer": ["AdamW", "SGD"],
    "untested": [True, GONE],
    "clip": ["cfg", "file", "both", "nowhere"],
    "accumulation": ["cfg", "file", "both"],
    "micro": ["auto", 8],
    "global": [GONE, "right"],
    "scheduler": [False, True],
}
PRECISION: dict[str, dict[str, Any]] = {
    "auto": {},
    "bf16": {"fp16": GONE, "bf16.enabled": True},
    "fp16": {"fp16.enabled": True, "bf16": GONE},
    "none": {"fp16": GONE, "bf16": GONE},
    "fp16+auto": {"fp16.enabled": True},
}
OFFLOAD: dict[str, dict[str, Any]] = {
    "none": {},
    "cpu": {"zero_optimization.offload_optimizer": {"device": "cpu"}},
    "cpu-forced": {
        "zero_optimization.offload_optimizer": {"device": "cpu"},
        "zero_force_ds_cpu_optimizer": GONE,
    },
}
SCHEDULER = {"type": "WarmupLR", "params": {"warmup_num_steps": 10}}
ALONE = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


def body(row: dict[str, Any]) -> dict[str, Any]:
    """The DeepSpeed file of a row."""
    changes: dict[str, Any] = {
        "zero_optimization.stage": row["stage"],
        **PRECISION[row["precision"]],
        **OFFLOAD[row["offload"]],
        "zero_allow_untested_optimizer": row["untested"],
        "train_micro_batch_size_per_gpu": row["micro"],
    }
    if row["clip"] in ("file", "both"):
        changes["gradient_clipping"] = 0.3
    if row["accumulation"] in ("file", "both"):
        changes["gradient_accumulation_steps"] = 8
    steps = 1 if row["accumulation"] == "file" else 4
    if row["global"] is not GONE:
        changes["train_batch_size"] = 2 * steps * row["world"]
    if row["scheduler"]:
        changes["scheduler"] = SCHEDULER
    return changed(AUTO, changes)


def text(row: dict[str, Any]) -> str:
    """The config of a row."""
    return config(
        None,
        {
            "optimizer": f"dict(type={row['optimizer']}, lr=2e-4)",
            "clip_grad": "dict(max_norm=0.5)" if row["clip"] in ("cfg", "both") else GONE,
            "accumulative_counts": "4" if row["accumulation"] in ("cfg", "both") else GONE,
        },
        imports=("from torch.optim import SGD",),
    )


def paired() -> Iterator[Case]:
    """A covering array."""
    for number, row in enumerate(pairs(FACTORS)):
        alone = {"environ": ALONE} if row["world"] == 1 else {}
        gpu = {"bf16": row["gpu"] == "both", "fp16": True}
        yield case(f"pair/{number:02d}", text(row), body(row), world=row["world"], gpu=gpu, **alone)
