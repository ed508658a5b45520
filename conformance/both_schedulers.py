"""Learning rates under XTuner with a scheduler of its own, and one in the DeepSpeed file, step by step.

    python -m conformance.both_schedulers --out tests/recorded/curves/xtuner-both.json

Run it with the Python of the `xtuner` environment. mmengine's FlexibleRunner trains six real steps with
XTuner's DeepSpeedStrategy: with DeepSpeed's scheduler, with mmengine's, and with both. What is recorded is
the rate that each optimizer step takes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path
from typing import Any

STEPS, PEAK = 6, 1.0
WARMUP = {"warmup_min_lr": 0, "warmup_max_lr": PEAK, "warmup_num_steps": 4, "warmup_type": "linear"}
SCHEDULER = {"scheduler": {"type": "WarmupLR", "params": WARMUP}}
ALONE = {
    "RANK": "0",
    "WORLD_SIZE": "1",
    "LOCAL_RANK": "0",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29655",
    "DS_ACCELERATOR": "cpu",
    "CUDA_VISIBLE_DEVICES": "",
    "TORCH_EXTENSIONS_DIR": str(Path(sys.prefix) / "torch_extensions"),
}


def main() -> None:
    """Write what the packages of this environment do."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    os.environ.update(ALONE)
    runs = {"deepspeed": (SCHEDULER, False), "mmengine": ({}, True), "both": (SCHEDULER, True)}
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as apart:
        curves = {name: apart.submit(_rates, *given).result() for name, given in runs.items()}
    versions = {name: metadata.version(name) for name in ("xtuner", "deepspeed", "mmengine", "torch")}
    text = json.dumps({"versions": versions, "curves": curves}, indent=1)
    out.write_text(text + "\n", encoding="utf-8")


def _rates(extra: dict[str, Any], own: bool) -> dict[str, Any]:
    """What the runner is given of the two, and the rate of each step."""
    import torch
    from mmengine.hooks import Hook
    from mmengine.model import BaseModel
    from mmengine.optim import CosineAnnealingLR
    from mmengine.runner import FlexibleRunner
    from xtuner.engine import DeepSpeedStrategy

    torch.cuda.set_device = lambda *_: None  # as dsbridge/observe/cpu.py does: mmengine always calls it

    class Model(BaseModel):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(2, 2)

        def forward(self, x: Any, data_samples: Any = None, mode: str = "loss") -> dict[str, Any]:
            return {"loss": self.layer(x).pow(2).mean()}

    class Rates(Hook):  # type: ignore[misc]
        def before_train_iter(self, runner: Any, *_: Any, **__: Any) -> None:
            rates.append(float(runner.optim_wrapper.optimizer.param_groups[0]["lr"]))

    rates: list[float] = []
    loader = {"sampler": {"type": "DefaultSampler"}, "collate_fn": {"type": "default_collate"}}
    strategy = {"type": DeepSpeedStrategy, "config": {"zero_optimization": {"stage": 1}, **extra}}
    sizes = {"train_micro_batch_size_per_gpu": 1, "gradient_accumulation_steps": 1, "gradient_clipping": 1.0}
    cosine = {"type": CosineAnnealingLR, "eta_min": 0.0, "by_epoch": False, "begin": 0, "end": STEPS}
    with tempfile.TemporaryDirectory() as folder:
        runner = FlexibleRunner(
            model=Model(),
            work_dir=folder,
            train_dataloader={"batch_size": 1, "dataset": [{"x": torch.ones(2)}] * STEPS, **loader},
            train_cfg={"by_epoch": True, "max_epochs": 1},
            strategy={**strategy, **sizes, "sequence_parallel_size": 1},
            env_cfg={"dist_cfg": {"backend": "gloo"}},
            optim_wrapper={"type": "DeepSpeedOptimWrapper", "optimizer": {"type": "AdamW", "lr": PEAK}},
            param_scheduler=[cosine] if own else None,
            custom_hooks=[Rates()],
            default_hooks={"checkpoint": None},
            launcher="pytorch",
        )
        runner.train()
    engine = type(runner.model.model.lr_scheduler).__name__
    return {
        "engine": engine,
        "runner": [type(one).__name__ for one in runner.param_schedulers or ()],
        "rates": rates,
    }


if __name__ == "__main__":
    main()
