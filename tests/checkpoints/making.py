"""Files as torch.save writes them, without torch: a zip with the pickle of a value."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any


def saved(path: Path, value: Any, compression: int = zipfile.ZIP_STORED) -> Path:
    """A file of torch.save, or what looks like one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(f"{path.stem}/data.pkl", pickle.dumps(value, 2))
        archive.writestr(f"{path.stem}/version", "3\n")
    return path


def model_states(**changed: Any) -> dict[str, Any]:
    """The keys that matter of mp_rank_00_model_states.pt."""
    return {
        "module": {"w": 1, "b": 2},
        "optimizer": None,
        "param_shapes": [{"w": (2, 2), "b": (2,)}],
        "lr_scheduler": None,
        "skipped_steps": 0,
        "global_steps": 7,
        "dp_world_size": 2,
        "mp_world_size": 1,
        "ds_config": {"zero_optimization": {"stage": 2}},
        "ds_version": "0.19.8",
        **changed,
    }


def optim_states(stage: int = 2, **changed: Any) -> dict[str, Any]:
    """The keys that matter of an optimizer shard."""
    state = {0: {"step": 7, "exp_avg": 1, "exp_avg_sq": 1}}
    key = "optimizer_state_dict" if stage == 3 else "base_optimizer_state"
    inner = {
        "zero_stage": stage,
        "partition_count": [2],
        key: {"state": state, "param_groups": [{}]},
        **changed,
    }
    return {"optimizer_state_dict": inner, "ds_config": {}, "ds_version": "0.19.8"}


def checkpoint(folder: Path, stage: int = 2, dp: int = 2, *, bf16: bool = True, **changed: Any) -> Path:
    """A folder that looks as if DeepSpeed wrote it."""
    tag = folder / "global_step7"
    prefix = "bf16_" if bf16 else ""
    model = model_states(dp_world_size=dp, ds_config={"zero_optimization": {"stage": stage}}, **changed)
    if not stage:
        model["optimizer"] = {
            "base_optimizer_state": {"state": {0: {"step": 7, "exp_avg": 1, "exp_avg_sq": 1}}}
        }
    names = [f"zero_pp_rank_{rank}_" for rank in range(dp)] if stage == 3 else [""]
    for name in names:
        saved(tag / f"{name}mp_rank_00_model_states.pt", model)
    for rank in range(dp if stage else 0):
        saved(tag / f"{prefix}zero_pp_rank_{rank}_mp_rank_00_optim_states.pt", optim_states(stage))
    (folder / "latest").write_text("global_step7")
    (folder / "zero_to_fp32.py").write_text("")
    return folder
