"""One way to lay a job out over the GPUs: what the search varies."""

from __future__ import annotations

from typing import NamedTuple

NOWHERE, CPU, NVME = "", "cpu", "nvme"
NONE, FULL = "none", "full"
_EVERY = "every "


class Knobs(NamedTuple):
    """ZeRO's buffers, in elements; DeepSpeed's own defaults. overlap: None is DeepSpeed's: stage 3 alone."""

    reduce_bucket: int = 500_000_000
    allgather_bucket: int = 500_000_000
    prefetch: int = 50_000_000
    persistence: int = 100_000
    live: int = 1_000_000_000
    reuse: int = 1_000_000_000
    sub_group: int = 1_000_000_000
    overlap: bool | None = None
    contiguous: bool = True
    round_robin: bool = False
    per_owner: bool = False  # use_multi_rank_bucket_allreduce: false
    hpz: int = 1  # zero_hpz_partition_size
    quantized_weights: bool = False
    quantized_gradients: bool = False
    pin: bool = True
    init: bool = True  # zero.Init: each rank keeps its part of what it loads


class Candidate(NamedTuple):
    """A layout. tp x ulysses x data-parallel ranks are all GPUs; micro: sequences of a micro batch of one
    data-parallel rank; checkpointing: of activations, `none`, `full` (every layer) or `every N` (each Nth
    layer, the first included)."""

    stage: int
    micro: int = 1
    accumulation: int = 1
    tp: int = 1
    ulysses: int = 1
    offload_optimizer: str = NOWHERE
    offload_param: str = NOWHERE
    checkpointing: str = FULL
    knobs: Knobs = Knobs()

    @property
    def spacing(self) -> int:
        """Each of how many layers runs again in the backward pass; 0: none does."""
        if self.checkpointing == NONE:
            return 0
        return 1 if self.checkpointing == FULL else int(self.checkpointing.removeprefix(_EVERY))

    def overlaps(self) -> bool:
        """Whether communication runs beside the backward pass."""
        return self.stage == 3 if self.knobs.overlap is None else self.knobs.overlap

    def replicas(self, world: int) -> int:
        """Ranks that see different sequences."""
        return world // (self.tp * self.ulysses)

    def sharding(self, world: int) -> int:
        """Ranks that ZeRO splits states among, those of Ulysses too: they hold the same model."""
        return world // self.tp


def every(spacing: int) -> str:
    """How each of so many layers is checkpointed, as `Candidate.checkpointing` has it."""
    return f"{_EVERY}{spacing}" if spacing > 1 else FULL if spacing else NONE


def running_again(spacing: int, layers: int) -> int:
    """Of so many layers, those that run again."""
    return -(-layers // spacing) if spacing else 0


def name_of(candidate: Candidate) -> str:
    """A way of sharding in words: "stage 3, optimizer on cpu"."""
    parts = [f"stage {candidate.stage}"]
    if candidate.tp > 1:
        parts.append(f"tp {candidate.tp}")
    if candidate.ulysses > 1:
        parts.append(f"ulysses {candidate.ulysses}")
    if candidate.offload_param != NOWHERE and candidate.offload_param == candidate.offload_optimizer:
        parts.append(f"optimizer and parameters on {candidate.offload_param}")
    else:
        if candidate.offload_optimizer != NOWHERE:
            parts.append(f"optimizer on {candidate.offload_optimizer}")
        if candidate.offload_param != NOWHERE:
            parts.append(f"parameters on {candidate.offload_param}")
    return ", ".join(parts)
