"""A script that hands the rendered `ds_config.json` to `deepspeed.initialize` and trains."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

import deepspeed
import torch
from common import load_model, load_rows
from torch.utils.data import DataLoader, DistributedSampler

STEPS = 2


def build(config: dict[str, Any]) -> Any:
    """The model, split while it is loaded under ZeRO-3 and over the tensor ranks under AutoTP."""
    stage = config.get("zero_optimization", {}).get("stage", 0)
    if stage == 3:
        # What tells from_pretrained to build under zero.Init; it must outlive the model.
        from transformers.integrations import HfDeepSpeedConfig

        build.keep = HfDeepSpeedConfig(config)  # type: ignore[attr-defined]
    model = load_model()
    size = config.get("tensor_parallel", {}).get("autotp_size", 0)
    if size > 1:
        model = deepspeed.tp_model_init(model, tp_size=size, dtype=torch.bfloat16)
    return model


def main() -> None:
    deepspeed.init_distributed()
    config = json.loads(Path("ds_config.json").read_text(encoding="utf-8"))
    model = build(config)
    parameters = [p for p in model.parameters() if p.requires_grad]
    client = None if "optimizer" in config else torch.optim.AdamW(parameters, lr=1e-4)
    engine, *_ = deepspeed.initialize(
        model=model, model_parameters=parameters, optimizer=client, config=config
    )
    rows = load_rows()
    # Ranks of one tensor group must see the same rows; with two ranks and tp 2 that is all of them.
    groups = int(os.environ["WORLD_SIZE"]) // max(1, config.get("tensor_parallel", {}).get("autotp_size", 1))
    sampler = DistributedSampler(rows, num_replicas=groups, rank=engine.global_rank % groups)
    micro = engine.train_micro_batch_size_per_gpu()
    loader = DataLoader(rows, batch_size=micro, sampler=sampler)
    for batch in itertools.chain.from_iterable(itertools.repeat(loader)):
        loss = engine(**{key: value.to(engine.device) for key, value in batch.items()}).loss
        engine.backward(loss)
        engine.step()
        if engine.global_steps >= STEPS:
            break
    # Not destroying the group: gloo's threads may still be busy, and that would abort the process.
    deepspeed.comm.barrier()


if __name__ == "__main__":
    main()
