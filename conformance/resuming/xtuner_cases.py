"""What XTuner saves, how it is resumed, and the command of a run.

All but one resumption are given the variable that lets `torch.load` read as it did before torch 2.6:
XTuner 0.2.0 looks for the seed in the checkpoint with it, before DeepSpeed is asked (tools/utils.py:199).
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from conformance import tiny

CONFIG = Path(__file__).resolve().parents[1] / "scripts" / "resume_xtuner_config.py"
READS = {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
SAVED: dict[str, dict[str, Any]] = {
    **{f"xtuner-z{stage}": {"framework": "xtuner", "stage": stage} for stage in (1, 2, 3)},
    "xtuner-z2-lora": {"framework": "xtuner", "stage": 2, "lora": True},
    "xtuner-z3-lora": {"framework": "xtuner", "stage": 3, "lora": True},
}
OTHER = {"xtuner-z1": (2, 3), "xtuner-z2": (1, 3), "xtuner-z3": (2,)}
CONVERTED: dict[str, Any] = {"convert": "universal inject", "universal": True, "env": READS}


def rows() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """A saved checkpoint, the resumption's name, and what it changes."""
    for saved in SAVED:
        yield saved, "same", {"env": READS}
        yield saved, "w1", {"env": READS, "world": 1}
        yield saved, "u-w1", {**CONVERTED, "world": 1}
        for stage in OTHER.get(saved, ()):
            yield saved, f"z{stage}", {"env": READS, "stage": stage}
    yield "xtuner-z2", "w4", {"env": READS, "world": 4}
    yield "xtuner-z2", "u-same", CONVERTED
    yield "xtuner-z3", "u-same", CONVERTED
    yield "xtuner-z2", "u-z1", {**CONVERTED, "stage": 1}
    yield "xtuner-z2", "u-z3", {**CONVERTED, "stage": 3}
    yield "xtuner-z2", "not-converted", {"env": READS, "universal": True, "world": 1}
    yield "xtuner-z2", "fp32", {"env": READS, "dtype": "fp32"}
    yield "xtuner-z2", "lora", {"env": READS, "lora": True}
    yield "xtuner-z2", "u-not-told", {"convert": "universal inject", "env": READS}
    yield "xtuner-z2", "folder", {"env": READS, "by": "folder"}
    yield "xtuner-z2", "other-rate", {"env": READS, "rate": 1e-3}
    yield "xtuner-z2", "as-installed", {}
    yield "xtuner-z2", "u-as-installed", {**CONVERTED, "env": {}}


def config(plan: dict[str, Any]) -> dict[str, Any]:
    """Its DeepSpeed config, as those that XTuner ships."""
    ds: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "zero_optimization": {"stage": plan["stage"]},
        "zero_force_ds_cpu_optimizer": False,
        "zero_allow_untested_optimizer": True,
    }
    if plan["dtype"] != "fp32":
        ds[plan["dtype"]] = {"enabled": True}
    return {**ds, "checkpoint": {"load_universal": True}} if plan.get("universal") else ds


def text(plan: dict[str, Any]) -> str:
    """XTuner's config for a plan."""
    found = CONFIG.read_text(encoding="utf-8")
    if not plan.get("lora"):
        found = re.sub(r"^ *# <lora>\n.*?^ *# </lora>\n", "", found, flags=re.DOTALL | re.MULTILINE)
    if "rate" in plan:
        found = found.replace("lr=1e-2", f"lr={plan['rate']}")
    return found.replace("torch.bfloat16", "torch.float32") if plan["dtype"] == "fp32" else found


def words(folder: Path, plan: dict[str, Any], resume: str, root: Path) -> list[str]:
    """What follows torchrun; the model and its data are made once."""
    if not (root / "model").is_dir():
        tiny.main(root)
    (folder / "config.py").write_text(text(plan), encoding="utf-8")
    found = importlib.util.find_spec("xtuner")
    assert found is not None, "XTuner is not installed"
    assert found.submodule_search_locations, "XTuner is no package"
    tool = Path(found.submodule_search_locations[0]) / "tools" / "train.py"
    given = [str(tool), "config.py", "--deepspeed", "ds.json", "--launcher", "pytorch", "--work-dir", "work"]
    return [*given, "--resume", resume] if resume else given
