"""Whether a training script trains all weights of its model, as far as its text says."""

from __future__ import annotations

# words of a script that may freeze or wrap a model, in ways that are not read
_OTHER_WAYS = ("peft", "lora", "adapter", "unsloth", "requires_grad", "galore", "prompt_tuning")


def trains_all(text: str) -> bool:
    """True for a script that loads a model and has no word of anything that trains a part of it."""
    low = text.lower()
    loads = "from_pretrained(" in low or "from_config(" in low
    return loads and not any(word in low for word in _OTHER_WAYS)
