"""Two ranks that one Python starts itself, by the method that the argument names: spawn or fork."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch


def rank(index: int) -> None:
    os.environ |= {
        "RANK": str(index),
        "LOCAL_RANK": str(index),
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
    }
    from deepspeed import initialize
    from probe import CONFIG, step

    model = torch.nn.Linear(8, 8)
    engine, *_ = initialize(model=model, model_parameters=model.parameters(), config=CONFIG)
    for _ in range(4):
        step(engine)
    Path(f"trained-{index}").touch()
    torch.distributed.barrier()


if __name__ == "__main__":
    torch.multiprocessing.start_processes(rank, nprocs=2, start_method=sys.argv[1])
