"""What LLaMA-Factory saves, how it is resumed, and the command of a run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from conformance import tiny

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "resume_llamafactory.py"
SAVED: dict[str, dict[str, Any]] = {
    "llamafactory-z2": {"framework": "llamafactory", "stage": 2},
    "llamafactory-z3-lora": {"framework": "llamafactory", "stage": 3, "lora": True},
}


def rows() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """A saved checkpoint, the resumption's name, and what it changes."""
    for saved in SAVED:
        yield saved, "same", {}
        yield saved, "w1", {"world": 1}
        yield saved, "u-w1", {"convert": "universal inject", "universal": True, "world": 1}
    yield "llamafactory-z2", "z3", {"stage": 3}
    yield "llamafactory-z2", "no-latest", {"gone": "latest"}


def config(plan: dict[str, Any]) -> dict[str, Any]:
    """Its DeepSpeed config, as LLaMA-Factory's examples."""
    ds: dict[str, Any] = {
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "zero_force_ds_cpu_optimizer": False,
        "zero_allow_untested_optimizer": True,
        "bf16": {"enabled": "auto"},
        "zero_optimization": {"stage": plan["stage"], "stage3_gather_16bit_weights_on_model_save": True},
    }
    return {**ds, "checkpoint": {"load_universal": True}} if plan.get("universal") else ds


def settings(plan: dict[str, Any], resume: str) -> dict[str, Any]:
    """The YAML, which JSON is too."""
    found: dict[str, Any] = {
        "model_name_or_path": "../model",
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "lora" if plan.get("lora") else "full",
        "deepspeed": "ds.json",
        "dataset": "identity",
        "dataset_dir": "../data",
        "template": "default",
        "cutoff_len": 64,
        "preprocessing_num_workers": 1,
        "output_dir": "out",
        "logging_steps": 1,
        "save_steps": 3,
        "max_steps": 6,
        "report_to": "none",
        "per_device_train_batch_size": 2,
        "learning_rate": 1e-3,
        "bf16": plan["dtype"] == "bf16",
    }
    if plan.get("lora"):
        found |= {"lora_rank": 4, "lora_target": "q_proj,v_proj"}
    return {**found, "resume_from_checkpoint": resume} if resume else found


def words(folder: Path, plan: dict[str, Any], resume: str, root: Path) -> list[str]:
    """What follows torchrun; the model and its data are made once."""
    if not (root / "model").is_dir():
        tiny.main(root)
    (folder / "train.yaml").write_text(json.dumps(settings(plan, resume), indent=1), encoding="utf-8")
    return [str(SCRIPT), "train.yaml"]
