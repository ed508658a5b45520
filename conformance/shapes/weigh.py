"""What a real model holds, asked of transformers itself: runs inside an environment that has it."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

_NUMBER = re.compile(r"\.\d+(?=\.)")


def build(config: dict[str, Any], device: str = "meta") -> Any:
    """The causal language model of this config; on the meta device it has shapes and no storage."""
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    keys = {k: v for k, v in config.items() if k != "model_type"}
    of = CONFIG_MAPPING[config["model_type"]]
    with torch.device(device):
        return AutoModelForCausalLM.from_config(of(**keys))


def knows(config: dict[str, Any]) -> bool:
    """Whether the installed release has this model_type."""
    from transformers import CONFIG_MAPPING

    return config["model_type"] in CONFIG_MAPPING


def weigh(model: Any) -> dict[str, Any]:
    """Totals, and every weight, numbers in its name as `*`: [name, shape, kind of module, how many]."""
    owners = dict(model.named_modules())
    rows: Counter[tuple[str, tuple[int, ...], str]] = Counter()
    for name, weight in model.named_parameters():
        owner = owners[name.rpartition(".")[0]]
        rows[_NUMBER.sub(".*", name), tuple(weight.shape), kind(owner)] += 1
    sizes = {n: sum(p.numel() for p in m.parameters(recurse=False)) for n, m in owners.items()}
    largest = max(sizes, key=lambda name: sizes[name])
    return {
        "total": sum(p.numel() for p in model.parameters()),
        # as DeepSpeed's estimators: the module that holds most itself (runtime/zero/stage3.py:
        # model_to_params)
        "largest_module": [_NUMBER.sub(".*", largest), sizes[largest]],
        "largest_layer": largest_layer(owners),
        "weights": [[name, list(shape), of, count] for (name, shape, of), count in rows.items()],
    }


def kind(module: Any) -> str:
    """What PEFT and bitsandbytes take it for."""
    import torch
    from transformers.pytorch_utils import Conv1D

    if isinstance(module, torch.nn.Linear):
        return "linear"
    if isinstance(module, Conv1D):
        return "conv1d"
    return "embedding" if isinstance(module, torch.nn.Embedding) else "other"


def largest_layer(owners: dict[str, Any]) -> int:
    """Parameters of the largest of the repeated layers: the first list of modules met from above."""
    import torch

    layers = next(m for m in owners.values() if isinstance(m, torch.nn.ModuleList))
    return max(sum(p.numel() for p in layer.parameters()) for layer in layers)
