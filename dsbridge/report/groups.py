"""The colours of a memory bar: what each part is one of."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple


class Group(NamedTuple):
    """words: how the names of its parts begin."""

    name: str
    words: tuple[str, ...]


GROUPS = (
    Group("parameters", ("parameters", "quantised", "small parameters", "second copy", "gathered")),
    Group("gradients", ("gradients", "a gradient")),
    Group("optimizer states and master weights", ("optimizer", "master")),
    Group("activations", ("activations", "checkpoints", "a layer", "last norm")),
    Group("logits and loss", ("logits", "loss")),
    Group("buffers and temporary copies", ()),
    Group(
        "context, libraries, fragmentation", ("CUDA", "cuBLAS", "context", "NCCL", "fragmentation", "process")
    ),
)
OTHER = 5


@cache
def group_of(part: str) -> int:
    """The number of the group of a part."""
    return next((n for n, group in enumerate(GROUPS) if part.startswith(group.words)), OTHER)
