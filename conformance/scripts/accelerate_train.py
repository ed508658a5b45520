"""An ordinary Accelerate script: all that decides how it runs comes from `accelerate launch`."""

from __future__ import annotations

import os

import torch
from accelerate import Accelerator
from accelerate.utils import DummyOptim, DummyScheduler
from common import load_model, load_rows
from torch.utils.data import DataLoader

STEPS = 2


def main() -> None:
    accelerator = Accelerator()
    model = load_model()
    micro = int(os.environ.get("CONFORMANCE_MICRO", "1"))
    loader = DataLoader(load_rows(), batch_size=micro, shuffle=False)
    config = getattr(accelerator.state.deepspeed_plugin, "deepspeed_config", {})
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = (
        DummyOptim(parameters, lr=1e-4) if "optimizer" in config else torch.optim.AdamW(parameters, lr=1e-4)
    )
    prepare = [model, optimizer, loader]
    if "scheduler" in config:
        prepare.append(DummyScheduler(optimizer, total_num_steps=STEPS, warmup_num_steps=1))
    model, optimizer, loader, *_ = accelerator.prepare(*prepare)
    done = 0
    while done < STEPS:
        for batch in loader:
            with accelerator.accumulate(model):
                accelerator.backward(model(**batch).loss)
                if accelerator.sync_gradients and accelerator.distributed_type.name == "FSDP":
                    accelerator.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
            done += accelerator.sync_gradients
            if done >= STEPS:
                break
    # Not destroying the group: gloo's threads may still be busy, and that would abort the process.
    accelerator.wait_for_everyone()


if __name__ == "__main__":
    main()
