"""The bare ds_config: everything that `deepspeed.initialize` is asked to read, and where it stops."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from conformance.oracle.case import Case
from conformance.oracle.cases import _deepspeed_factors as factors
from conformance.oracle.cases import _deepspeed_scalars as scalars
from conformance.oracle.cases import _deepspeed_scripts as scripts
from conformance.oracle.cases import pairs
from conformance.oracle.cases._deepspeed_files import (
    BASE,
    GONE,
    args_script,
    case,
    changed,
    script,
    with_file,
)
from conformance.oracle.cases._deepspeed_schedulers import SCHEDULER

TABLES = {
    "batch": factors.BATCH,
    "zero": factors.ZERO,
    "wrapper": factors.WRAPPERS,
    "offload": factors.OFFLOAD,
    "precision": factors.PRECISION,
    "optimizer": factors.OPTIMIZER,
    "scheduler": SCHEDULER,
    "scalar": scalars.SCALARS,
    "block": scalars.BLOCKS,
    "kind": scalars.KINDS,
    "removed": scalars.REMOVED,
    "tp": scalars.TENSOR_PARALLEL,
}
# Run again with two real processes, to see that the one process of the oracle tells the truth.
REAL: tuple[str, ...] = (
    "deepspeed/entry/path",
    "deepspeed/args/config",
    "deepspeed/batch/total-alone-uneven",
    "deepspeed/zero/stage-3",
    "deepspeed/zero/three-wrong",
    "deepspeed/offload/cpu-stage-3",
    "deepspeed/precision/fp16-usual",
    "deepspeed/precision/none",
    "deepspeed/optimizer/sgd",
    "deepspeed/scheduler/decay",
    "deepspeed/tp/two",
    "deepspeed/client/offload",
    "deepspeed/init/stage-3",
)


def designed() -> list[Case]:
    """Every factor alone, then pairs."""
    return [
        *scripts.entries(),
        *scripts.shared(),
        *scripts.arguments(),
        *scripts.launchers(),
        *scripts.clients(),
        *scripts.zero_init(),
        *alone(),
        *(with_file(f"text/{name}", text) for name, text in scalars.TEXTS.items()),
        *abilities(),
        *(paired(number, row) for number, row in enumerate(pairs(FACTORS))),
    ]


def alone() -> Iterator[Case]:
    """One change each."""
    for group, table in TABLES.items():
        for name, changes in table.items():
            yield with_file(f"{group}/{name}", changed(BASE, changes))


def abilities() -> Iterator[Case]:
    """GPUs that lack a number format."""
    fp16 = changed(BASE, {"bf16": GONE, "fp16": {"enabled": True}})
    off = changed(BASE, {"bf16.enabled": False})
    yield with_file("gpu/no-bf16", BASE, gpu={"bf16": False, "fp16": True})
    yield with_file("gpu/no-bf16-off", off, gpu={"bf16": False, "fp16": True})
    yield with_file("gpu/no-fp16", fp16, gpu={"bf16": True, "fp16": False})
    split = changed(BASE, {"tensor_parallel": {"autotp_size": 2}})
    yield with_file("tp/two-world-1", split, world_size=1)
    yield with_file("tp/two-world-4", split, world_size=4)
    wrong = changed(BASE, {"optimizer.type": "AdamX"})
    yield with_file("gpu/no-bf16-and-optimizer", wrong, gpu={"bf16": False, "fp16": True})


FACTORS: dict[str, list[Any]] = {
    "stage": [0, 1, 2, 3],
    "precision": ["bf16", "fp16", "none"],
    "offload": ["none", "cpu", "cpu-param"],
    "optimizer": ["block", "sgd-block", "client", "client-sgd", "no"],
    "scheduler": ["no", "block", "auto"],
    "batch": ["micro", "total", "micro-gas", "all"],
    "clip": [None, 1.0, "auto"],
    "world": [1, 2, 4],
    "launcher": ["torchrun", "deepspeed"],
}
_BATCHES: dict[str, dict[str, int]] = {
    "micro": {"train_micro_batch_size_per_gpu": 2},
    "total": {"train_batch_size": 8},
    "micro-gas": {"train_micro_batch_size_per_gpu": 1, "gradient_accumulation_steps": 4},
    "all": {"train_batch_size": 8, "train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": 2},
}
_SCHEDULERS: dict[str, dict[str, Any]] = {
    "block": {
        "type": "WarmupLR",
        "params": {"warmup_min_lr": 0, "warmup_max_lr": 1e-4, "warmup_num_steps": 10},
    },
    "auto": {"type": "WarmupLR", "params": {"warmup_max_lr": "auto", "warmup_num_steps": 10}},
}


def config_of(row: dict[str, Any]) -> dict[str, Any]:
    """The ds_config of one row of factors."""
    config: dict[str, Any] = {**_BATCHES[row["batch"]], "zero_optimization": {"stage": row["stage"]}}
    if row["precision"] != "none":
        config[row["precision"]] = {"enabled": True}
    if row["offload"] != "none":
        config["zero_optimization"]["offload_optimizer"] = {"device": "cpu", "pin_memory": True}
    if row["offload"] == "cpu-param":
        config["zero_optimization"]["offload_param"] = {"device": "cpu", "pin_memory": True}
    if row["optimizer"] == "block":
        config["optimizer"] = {"type": "AdamW", "params": {"lr": 1e-4, "weight_decay": 0.1}}
    elif row["optimizer"] == "sgd-block":
        config["optimizer"] = {"type": "SGD", "params": {"lr": 0.1}}
    if row["scheduler"] != "no":
        config["scheduler"] = _SCHEDULERS[row["scheduler"]]
    if row["clip"] is not None:
        config["gradient_clipping"] = row["clip"]
    return config


def paired(number: int, row: dict[str, Any]) -> Case:
    """One row of the covering array as a case."""
    return launched(f"pair/{number:03d}", config_of(row), row)


def launched(name: str, config: Any, row: dict[str, Any]) -> Case:
    """The config, in the script and under the launcher that the row names."""
    client = {"client": "adamw", "client-sgd": "sgd"}.get(row["optimizer"])
    before = scripts.CLIENTS[client] if client else ""
    extra = {"optimizer": "optimizer"} if client else {}
    body = config if isinstance(config, str) else json.dumps(config, indent=2)
    world = row["world"]
    if row["launcher"] == "deepspeed":
        words = [
            "deepspeed",
            f"--num_gpus={world}",
            "train.py",
            "--deepspeed",
            "--deepspeed_config",
            "ds.json",
        ]
        return case(
            name, {"ds.json": body, "train.py": args_script(before, **extra)}, words, world_size=world
        )
    text = script(before, config='"ds.json"', **extra)
    return case(name, {"ds.json": body, "train.py": text}, world_size=world)


def setups() -> Any:
    """Whole set-ups as users have them: a template, some settings of their own, now and then a mistake."""
    from conformance.oracle.cases._deepspeed_setups import setups as strategy

    return strategy()
