"""Factors of LLaMA-Factory that may meet each other, and the case a row of them makes."""

from __future__ import annotations

import json
from typing import Any

from conformance.oracle.case import Case
from conformance.oracle.cases._llamafactory_files import (
    BASE,
    CLI,
    FORCE,
    GONE,
    OPTIMIZER,
    SCHEDULER,
    SHIPPED,
    case,
    changed,
    words_of,
)

FACTORS: dict[str, list[Any]] = {
    "file": ["z0", "z2", "z2_offload", "z3", "z3_offload", "z2_autotp", "inline"],
    "method": ["full", "lora", "freeze", "lora-plus"],
    "precision": ["bf16", "fp16", "none", "pure"],
    "batch": ["auto", "right", "no-accumulation", "no-total"],
    "clip": ["auto", "missing"],
    "optimizer": ["none", "auto", "no-rate"],
    "scheduler": ["none", "auto", "warmup"],
    "mistake": ["none", "none 2", "none 3", "clip", "rate", "batch", "steps"],
    "world": [2, 1, 4],
    "launcher": ["cli", "torchrun", "flags", "accelerate"],
}
PRECISIONS: dict[str, dict[str, Any]] = {
    "bf16": {},
    "fp16": {"bf16": GONE, "fp16": True},
    "none": {"bf16": GONE},
    "pure": {"bf16": GONE, "pure_bf16": True},
}
METHODS: dict[str, dict[str, Any]] = {
    "full": {},
    "lora": {"finetuning_type": "lora"},
    "freeze": {"finetuning_type": "freeze", "freeze_trainable_layers": 1},
    "lora-plus": {"finetuning_type": "lora", "loraplus_lr_ratio": 16.0},
}

MISTAKES: dict[str, dict[str, Any]] = {
    "clip": {"gradient_clipping": 0.5},
    "rate": {"optimizer": {"type": "AdamW", "params": {"lr": 5e-5, "weight_decay": "auto"}}},
    "batch": {"train_micro_batch_size_per_gpu": 4, "train_batch_size": 32},
    "steps": {"scheduler": {"type": "WarmupLR", "params": {"warmup_num_steps": 100}}},
}


def config_of(row: dict[str, Any]) -> dict[str, Any]:
    """The ds_config of one row of factors."""
    name = "z2" if row["file"] == "inline" else row["file"]
    changes: dict[str, Any] = {}
    if row["batch"] == "right":
        changes |= {"train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": 4}
    elif row["batch"] == "no-accumulation":
        changes |= {"gradient_accumulation_steps": GONE, "train_batch_size": GONE}
    elif row["batch"] == "no-total":
        changes["train_batch_size"] = GONE
    if row["clip"] == "missing":
        changes["gradient_clipping"] = GONE
    if row["optimizer"] != "none":
        rateless = {"type": "AdamW", "params": {"weight_decay": "auto"}}
        changes["optimizer"] = OPTIMIZER if row["optimizer"] == "auto" else rateless
    if row["scheduler"] != "none":
        warmup = {"type": "WarmupLR", "params": {"warmup_max_lr": "auto", "warmup_num_steps": "auto"}}
        changes["scheduler"] = SCHEDULER if row["scheduler"] == "auto" else warmup
    changes |= MISTAKES.get(row["mistake"], {})
    return changed(json.loads(SHIPPED[name]), changes)


def paired(number: int, row: dict[str, Any]) -> Case:
    """One row of the covering array as a case."""
    config, world, launcher = config_of(row), row["world"], row["launcher"]
    own = changed(BASE, {**METHODS[row["method"]], **PRECISIONS[row["precision"]]})
    if row["file"] == "inline":
        own["deepspeed"] = config
    if launcher == "cli":
        return case(f"pair/{number:03d}", own, config, CLI, environ=FORCE, world_size=world)
    words = words_of(own) if launcher == "flags" else ["train.yaml"]
    start = ["torchrun", f"--nproc_per_node={world}"]
    if launcher == "accelerate":
        start = ["accelerate", "launch", "--num_processes", str(world)]
        start += ["--multi_gpu"] if world > 1 else []
    return case(f"pair/{number:03d}", own, config, [*start, "src/train.py", *words], world_size=world)
