"""Accelerate, three steps and save_state, three more; or load_state and on. RESUMING says which."""

from __future__ import annotations

import json
import os
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DeepSpeedPlugin
from torch.utils.data import DataLoader
from transformers import AutoModelForCausalLM, LlamaConfig

from conformance.resuming import live

ASKED = json.loads(os.environ["RESUMING"])
ROWS = [
    {"input_ids": torch.arange(i, i + 16) % 64, "labels": torch.arange(i, i + 16) % 64} for i in range(64)
]
config = LlamaConfig(vocab_size=64, hidden_size=32, intermediate_size=32, num_hidden_layers=1,
                     num_attention_heads=4, num_key_value_heads=4, attn_implementation="sdpa")  # fmt: skip
accelerator = Accelerator(deepspeed_plugin=DeepSpeedPlugin(hf_ds_config="ds.json"), mixed_precision="bf16")
torch.manual_seed(2 if ASKED.get("resume") else 1)
model = AutoModelForCausalLM.from_config(config)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
loader = DataLoader(ROWS, batch_size=2)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)


def train() -> list[float]:
    """Three steps on the same rows, whatever the ranks are."""
    losses = []
    batch: Any = {key: torch.stack([row[key] for row in ROWS[:2]]) for key in ROWS[0]}
    for _ in range(3):
        loss = model(**batch, use_cache=False).loss
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(round(loss.item(), 4))
    return losses


answer: dict[str, Any] = {}
if ASKED.get("resume"):
    accelerator.load_state(ASKED["resume"])
    answer = live.compared(model, ASKED["truth"])
else:
    train()
    accelerator.save_state(ASKED["save"])
    live.keep(model, ASKED["truth"])
answer["losses"] = train()
live.tell(ASKED["answer"], answer)
