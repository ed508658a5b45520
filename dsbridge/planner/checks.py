"""Sizes that make no model: each is refused with what would do."""

from __future__ import annotations

from typing import Any

from dsbridge.planner.errors import ShapeError
from dsbridge.planner.expressions import Names

_COUNTS = {
    "layers": "num_hidden_layers",
    "hidden_size": "hidden_size",
    "heads": "num_attention_heads",
    "kv": "num_key_value_heads",
    "dim": "head_dim",
    "vocab_size": "vocab_size",
}
_MAY_BE_NONE = {
    "inner": "intermediate_size",
    "experts": "number of experts",
    "per_token": "experts per token",
}


def check_sizes(names: Names, model_type: str) -> None:
    """Refuse the first size that is no count, or does not go with another."""
    _divides(names)
    for name, key in _COUNTS.items():
        _count(names[name], key, model_type)
    for name, key in _MAY_BE_NONE.items():
        if names[name] is not None:
            _count(names[name], key, model_type)
    heads, kv = names["heads"], names["kv"]
    if heads % kv:
        near = [n for n in range(1, heads + 1) if heads % n == 0]
        raise ShapeError(
            f"{heads} attention heads cannot share {kv} key-value heads",
            f"num_key_value_heads must divide num_attention_heads: {', '.join(map(str, near))}",
        )
    experts, per_token = names["experts"], names["per_token"]
    if experts is not None and per_token is not None and per_token > experts:
        raise ShapeError(
            f"{per_token} of {experts} experts cannot work on a token", f"give at most {experts}"
        )


def _divides(names: Names) -> None:
    hidden, heads = names["hidden_size"], names["heads"]
    if names["head_dim"] or not all(isinstance(n, int) and n > 0 for n in (hidden, heads)):
        return
    if hidden % heads and not names["kv_lora_rank"]:
        below = hidden // heads * heads
        near = f"{below} or {below + heads}" if below else str(heads)
        raise ShapeError(
            f"hidden_size {hidden} does not divide into {heads} attention heads",
            f"give head_dim, or a hidden_size such as {near}",
        )


def _count(value: Any, key: str, model_type: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ShapeError(
            f"{key} is {value!r} in the config of this {model_type} model", "give a whole number above 0"
        )
