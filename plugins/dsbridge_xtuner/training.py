"""XTuner's shipped configs and DeepSpeed files by name: what of them reaches DeepSpeed."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from dsbridge.rulebook import copied


@cache
def _table() -> dict[str, Any]:
    text = Path(__file__).with_name("training.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def shipped_config(name: str) -> dict[str, Any] | None:
    """The part of a shipped config that rules ask for; None for a name that XTuner does not know."""
    table = _table()
    if name not in table["configs"]:
        return None
    row, model = table["configs"][name]
    found: dict[str, Any] = copied(table["rows"][row])
    if model:
        found.setdefault("model", {}).setdefault("llm", {})["pretrained_model_name_or_path"] = model
    return found


def shipped_deepspeed(name: str) -> dict[str, Any] | None:
    """One of the five DeepSpeed files that come with XTuner."""
    found = _table()["deepspeed"].get(name)
    return None if found is None else copied(found)


def torch_optimizers() -> dict[str, list[str]]:
    """What torch's optimizers take, by class."""
    found: dict[str, list[str]] = _table()["optimizers"]
    return found
