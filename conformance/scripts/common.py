"""What the three user scripts share: the tiny model, its data, and LoRA when the example has it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

MODEL = os.environ["CONFORMANCE_MODEL"]
DATA = os.environ["CONFORMANCE_DATA"]
LENGTH = 32


def load_model() -> Any:
    """The model, frozen but for its adapters when the example fine-tunes those."""
    model = AutoModelForCausalLM.from_pretrained(MODEL)
    if os.environ.get("CONFORMANCE_METHOD") in ("lora", "qlora"):
        from peft import LoraConfig, get_peft_model

        model = get_peft_model(model, LoraConfig(r=8, target_modules=["q_proj", "v_proj"]))
    return model


def load_rows() -> list[dict[str, torch.Tensor]]:
    """Token ids of one length, so that no collator is needed."""
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    rows = json.loads((Path(DATA) / "alpaca.json").read_text(encoding="utf-8"))
    encoded = []
    for row in rows:
        text = f"{row['instruction']} {row['output']}"
        ids = tokenizer(text, padding="max_length", truncation=True, max_length=LENGTH)
        tensors = {k: torch.tensor(ids[k]) for k in ("input_ids", "attention_mask")}
        encoded.append({**tensors, "labels": tensors["input_ids"].clone()})
    return encoded
