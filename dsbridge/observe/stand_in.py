"""A model that stands in for weights that are not here, or too large: same config, one small layer.

What reaches `deepspeed.initialize` depends on the model's config (the hidden size above all), never on its
weights; so `from_pretrained` builds the same class from the same config.json, with one layer, a small
vocabulary and a narrow MLP.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

LARGEST = 500 * 1024 * 1024  # bytes of weights that are loaded as they are
SMALL = {
    "num_hidden_layers": 1,
    "vocab_size": 256,
    "intermediate_size": 64,
    "moe_intermediate_size": 32,
    "num_experts": 4,
    "n_routed_experts": 4,
    "num_local_experts": 4,
}


def install() -> None:
    """Replace `from_pretrained` of every transformers model class."""
    from transformers import AutoConfig, PreTrainedModel

    real = PreTrainedModel.from_pretrained.__func__

    @functools.wraps(real)
    def from_pretrained(cls: Any, name: Any, *args: Any, **kwargs: Any) -> Any:
        if has_weights(str(name)):
            return real(cls, name, *args, **kwargs)
        config = kwargs.get("config")
        if config is None:
            config = AutoConfig.from_pretrained(str(name), trust_remote_code=False)
        return cls._from_config(shrunk(config))

    PreTrainedModel.from_pretrained = classmethod(from_pretrained)


def has_weights(name: str) -> bool:
    """A local folder with weights that are quick to load."""
    folder = Path(name)
    files = [*folder.glob("*.safetensors"), *folder.glob("pytorch_model*.bin")] if folder.is_dir() else []
    return bool(files) and sum(file.stat().st_size for file in files) <= LARGEST


def shrunk(config: Any) -> Any:
    """The same config with less of everything but the hidden size."""
    for inner in (config, getattr(config, "text_config", None)):
        if inner is None:
            continue
        for name, value in SMALL.items():
            old = getattr(inner, name, None)
            if isinstance(old, int) and old > value:
                setattr(inner, name, value)
        if isinstance(getattr(inner, "layer_types", None), list):
            inner.layer_types = inner.layer_types[: SMALL["num_hidden_layers"]]
        for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
            if isinstance(getattr(inner, name, None), int) and getattr(inner, name) >= SMALL["vocab_size"]:
                setattr(inner, name, 0)
    return config
