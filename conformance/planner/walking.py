"""What a rank holds: every live tensor's storage, counted once, under the first part that claims it."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import torch

from conformance.planner import quantised

STAGE3 = "_DeepSpeedZeroOptimizer_Stage3__"
# attributes of DeepSpeed's optimizers, by what they hold
PARTS = {
    "master": (
        "single_partition_of_fp32_groups",
        "fp32_partitioned_groups_flat",
        "fp32_groups_flat_partition",
        "fp32_groups_flat",
        "fp32_groups",
    ),
    "master_gradients": ("fp32_groups_gradients_flat",),
    "gradients": (
        "grad_partitions_flat_buffer",
        "averaged_gradients",
        "all_grad_tensors",
        "grads_in_partition",
        "accumulated_grads_in_cpu",
        f"{STAGE3}param_id_to_grad_partition",
    ),
    "buckets": (
        "ipg_buckets",
        "ipg_buffer",
        "extra_large_param_to_reduce",
        f"{STAGE3}ipg_bucket_flat_buffer",
    ),
    "offload_buffers": (
        "temp_grad_buffer_for_cpu_offload",
        "temp_grad_buffer_for_gpu_offload",
        "param_buffer_of_bit16_for_cpu_offload_groups",
        "param_groups_fp16_flat_cpu_memory",
    ),
}
Held = dict[str, Counter[str]]


def tensors(value: Any, depth: int = 4) -> Iterator[torch.Tensor]:
    """The tensors in a value: a tensor, a container of them, or an object with them as attributes."""
    if isinstance(value, torch.Tensor):
        yield value
    elif depth and isinstance(value, dict):
        for one in value.values():
            yield from tensors(one, depth - 1)
    elif depth and isinstance(value, (list, tuple, set)):
        for one in value:
            yield from tensors(one, depth - 1)
    elif depth and type(value).__name__ in ("IPGBucket", "IPGBucketZ3"):
        yield from tensors(value.buffer, depth - 1)


class Walk:
    """One look at the engine."""

    def __init__(self, engine: Any, before: set[int], pinned: set[int]) -> None:
        self.engine, self.before, self.pinned = engine, before, pinned
        self.seen: set[int] = set()
        self.held: Held = {}
        self.pins: Counter[str] = Counter()
        self.rest: Counter[str] = Counter()

    def claim(self, part: str, found: Iterable[torch.Tensor]) -> None:
        """Count the storages that nobody has claimed."""
        for tensor in found:
            if tensor.device.type == "meta":
                continue
            storage = tensor.untyped_storage()
            where = storage.data_ptr()
            if not where or where in self.seen or where in self.before:
                continue
            self.seen.add(where)
            elements = storage.nbytes() // tensor.element_size()
            dtype = str(tensor.dtype).removeprefix("torch.")
            self.held.setdefault(part, Counter())[dtype] += elements
            if where in self.pinned:
                self.pins[part] += storage.nbytes()
            if part == "other":
                self.rest[f"{dtype}:{elements}"] += 1

    def parts(self) -> None:
        """Every part, in order."""
        optimizer = self.engine.optimizer
        params = list(self.engine.module.parameters())
        inner = getattr(optimizer, "optimizer", optimizer)
        self.claim("parameters", (p.ds_tensor for p in params if hasattr(p, "ds_tensor")))
        copies = (getattr(p, "ds_secondary_tensor", None) for p in params)
        self.claim("secondary", (copy for copy in copies if copy is not None))
        gathered = "gathered" if hasattr(params[0], "ds_tensor") else "parameters"
        self.claim(gathered, (p.data for p in params))
        self.claim("scales", quantised.scales(self.engine.module))
        masters = list(self.attributes(optimizer, PARTS["master"]))
        self.claim("master", masters)
        self.claim("master_gradients", (m.grad for m in masters if m.grad is not None))
        self.claim("master_gradients", self.attributes(optimizer, PARTS["master_gradients"]))
        self.claim("buckets", self.attributes(optimizer, PARTS["buckets"]))
        self.claim("gradients", self.attributes(optimizer, PARTS["gradients"]))
        self.claim("gradients", (p.grad for p in params if p.grad is not None))
        self.claim("gradients", (g for p in params if (g := getattr(p, "grad_accum", None)) is not None))
        self.claim("states", tensors(dict(inner.state)))
        self.claim("offload_buffers", self.attributes(optimizer, PARTS["offload_buffers"]))

    @staticmethod
    def attributes(optimizer: Any, names: Iterable[str]) -> Iterator[torch.Tensor]:
        """The tensors under these names, where the optimizer has them."""
        for name in names:
            yield from tensors(getattr(optimizer, name, None))


def alive() -> set[int]:
    """Where the storages of all live tensors are."""
    return {t.untyped_storage().data_ptr() for t in gc.get_objects() if _plain(t)}


def _plain(thing: Any) -> bool:
    # type(), for isinstance() would wake lazy modules that stand in for others
    return (
        issubclass(type(thing), torch.Tensor)
        and thing.layout == torch.strided
        and thing.device.type != "meta"
    )


def look(engine: Any, before: set[int], pinned: set[int], *, whole: bool = True) -> dict[str, Any]:
    """Elements by part and dtype; `whole` also finds what no part claims."""
    walk = Walk(engine, before, pinned)
    walk.parts()
    if whole:
        gc.collect()
        walk.claim("other", [t for t in gc.get_objects() if _plain(t)])
    seen: dict[str, Any] = {part: dict(sorted(held.items())) for part, held in sorted(walk.held.items())}
    if walk.pins:
        seen["pinned_bytes"] = dict(sorted(walk.pins.items()))
    if walk.rest:
        seen["other_tensors"] = dict(sorted(walk.rest.items()))
    return seen
