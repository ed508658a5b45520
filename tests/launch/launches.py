"""Launches of every kind for the tests: a spec, and what a shell makes of the words."""

from __future__ import annotations

from typing import Any

from dsbridge.artifacts import Artifacts
from dsbridge.rendering import render
from dsbridge.spec.load import load_mapping

NODES, GPUS = 2, 4
OWN = {
    "llamafactory": {"dataset": "d", "template": "qwen"},
    "xtuner": {"config": "qwen1_5_0_5b_chat_full_alpaca_e3"},
}
PAIRS = tuple(
    (target, kind)
    for target, kinds in {
        "deepspeed": ("torchrun", "deepspeed", "slurm", "kubernetes"),
        "trainer": ("torchrun", "accelerate", "deepspeed", "slurm", "kubernetes"),
        "accelerate": ("accelerate", "slurm", "kubernetes"),
        "llamafactory": ("llamafactory", "slurm", "kubernetes", "ray"),
        "xtuner": ("xtuner", "slurm", "kubernetes"),
    }.items()
    for kind in kinds
)


def launched(target: str, kind: str, **launch: Any) -> Artifacts:
    """A small job of two nodes, four GPUs each, started by one kind."""
    mapping = {
        "version": 1,
        "model": {"name_or_path": "m"},
        "cluster": {"nodes": NODES, "gpus_per_node": GPUS},
        "zero": {"stage": 2},
        "batch": {"micro_per_gpu": 1, "accumulation": 2},
        "finetuning": {"method": "full"},
        "precision": {"dtype": "bf16"},
        "optimizer": {"type": "adamw", "lr": 1e-4},
        "training": {"max_steps": 10},
        "launch": {"kind": kind, **launch},
        "frameworks": {target: OWN[target]} if target in OWN else {},
    }
    return render(load_mapping(mapping), target)
