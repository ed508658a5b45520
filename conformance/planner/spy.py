"""Counts the collectives that a rank issues, at the door of `torch.distributed`; changes nothing of them."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch.distributed as dist
from torch.distributed import distributed_c10d

Call = tuple[str, str, int, int]  # kind, dtype, ranks of the group, elements


def _numel(value: Any) -> int:
    return value.numel() if hasattr(value, "numel") else sum(_numel(one) for one in value)


def _dtype(value: Any) -> str:
    while not hasattr(value, "dtype"):
        value = value[0]
    return str(value.dtype).removeprefix("torch.")


# function: kind, position and name of the argument that has the whole payload
WATCHED = {
    "all_reduce": ("all_reduce", 0, "tensor"),
    "all_reduce_coalesced": ("all_reduce", 0, "tensors"),
    "reduce": ("reduce", 0, "tensor"),
    "broadcast": ("broadcast", 0, "tensor"),
    "all_gather": ("all_gather", 0, "tensor_list"),
    "all_gather_into_tensor": ("all_gather", 0, "output_tensor"),
    "_all_gather_base": ("all_gather", 0, "output_tensor"),
    "all_gather_coalesced": ("all_gather", 0, "output_tensor_lists"),
    "reduce_scatter": ("reduce_scatter", 1, "input_list"),
    "reduce_scatter_tensor": ("reduce_scatter", 1, "input"),
    "_reduce_scatter_base": ("reduce_scatter", 1, "input"),
    "all_to_all": ("all_to_all", 1, "input_tensor_list"),
    "all_to_all_single": ("all_to_all", 1, "input"),
    "gather": ("gather", 0, "tensor"),
    "scatter": ("scatter", 0, "tensor"),
    "all_gather_object": ("all_gather_object", 1, "obj"),
    "broadcast_object_list": ("broadcast_object", 0, "object_list"),
    "send": ("send", 0, "tensor"),
    "recv": ("recv", 0, "tensor"),
    "isend": ("send", 0, "tensor"),
    "irecv": ("recv", 0, "tensor"),
}


class Spy:
    """What was issued, by the phase that was running."""

    def __init__(self) -> None:
        self.phase = ""
        self.calls: dict[str, Counter[Call]] = {}
        self.inside = False
        self.before: Callable[[str], None] = lambda kind: None

    def install(self) -> None:
        """Put a counter before each function, in both modules that have it."""
        for name, (kind, position, keyword) in WATCHED.items():
            real = getattr(distributed_c10d, name, None)
            if real is None:
                continue
            counted = self._counted(real, kind, position, keyword)
            for module in (distributed_c10d, dist):
                if hasattr(module, name):
                    setattr(module, name, counted)

    def _counted(self, real: Any, kind: str, position: int, keyword: str) -> Any:
        @functools.wraps(real)
        def call(*args: Any, **kwargs: Any) -> Any:
            if self.inside or not self.phase:
                return real(*args, **kwargs)
            payload = kwargs[keyword] if keyword in kwargs else args[position]
            group = kwargs.get("group")
            if group is None:
                group = next((a for a in args if isinstance(a, dist.ProcessGroup)), None)
            self.before(kind)
            objects = kind.endswith("object")
            row = (
                kind,
                "object" if objects else _dtype(payload),
                dist.get_world_size(group),
                1 if objects else _numel(payload),
            )
            self.calls.setdefault(self.phase, Counter())[row] += 1
            self.inside = True
            try:
                return real(*args, **kwargs)
            finally:
                self.inside = False

        return call

    def taken(self) -> dict[str, list[list[Any]]]:
        """Phase to rows of kind, dtype, group, elements, times; and start afresh."""
        found = {
            phase: [[*row, times] for row, times in sorted(counter.items())]
            for phase, counter in sorted(self.calls.items())
        }
        self.calls = {}
        return found
