"""A small DeepSpeed program that does what its argument says: train, or go wrong somewhere.

`before`, `inside` and `after` are places of deepspeed.initialize where it fails; `loop` trains until it is
killed; `never` trains with torch's DDP alone; `imported` imports deepspeed and leaves it at that.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import torch

MODE = sys.argv[1]
CONFIG: dict[str, Any] = {
    "train_micro_batch_size_per_gpu": 1,
    "gradient_accumulation_steps": 2,
    "gradient_clipping": 0.5,
    "optimizer": {"type": "AdamW", "params": {"lr": 1e-4, "torch_adam": True}},
    "zero_optimization": {"stage": 1},
}


def step(engine: Any) -> None:
    loss = engine(torch.ones(1, 8)).sum()
    engine.backward(loss)
    engine.step()


def plainly() -> None:
    """Two steps without DeepSpeed."""
    torch.distributed.init_process_group("gloo")
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(8, 8))
    optimizer = torch.optim.AdamW(model.parameters())
    for _ in range(2):
        model(torch.ones(1, 8)).sum().backward()
        optimizer.step()
    torch.distributed.barrier()


def main() -> None:
    if MODE == "before":
        raise RuntimeError("the data set is not there")
    if MODE == "never":
        plainly()
        return
    import deepspeed

    if MODE == "imported":
        return
    config = {**CONFIG, "train_batch_size": 7} if MODE == "inside" else CONFIG
    model = torch.nn.Linear(8, 8)
    engine, *_ = deepspeed.initialize(model=model, model_parameters=model.parameters(), config=config)
    if MODE == "after":
        raise RuntimeError("the first batch is broken")
    for _ in range(4):
        step(engine)
    Path(f"trained-{os.environ.get('RANK', '0')}").touch()
    while MODE == "loop":
        step(engine)
        time.sleep(0.02)
    deepspeed.comm.barrier()


if __name__ == "__main__":
    main()
