"""Batch arithmetic: micro x accumulation x data-parallel ranks = global."""

from __future__ import annotations

from typing import NamedTuple

from dsbridge.spec import ParallelSpec
from dsbridge.values import AUTO, UNSET


class Dims(NamedTuple):
    """The layout as numbers: derived from the spec, never written by the user.

    world_size counts all ranks; data_parallel = world_size / (tp x ulysses), the ranks that see
    different samples. Both are None while the number of GPUs is not given.
    """

    nodes: int
    local_world_size: int | None
    tp: int
    ulysses: int

    @property
    def world_size(self) -> int | None:
        return None if self.local_world_size is None else self.nodes * self.local_world_size

    @property
    def data_parallel(self) -> int | None:
        world = self.world_size
        return None if world is None else world // (self.tp * self.ulysses)


class BatchNumbers(NamedTuple):
    """Samples; None where neither given nor derivable (or left to the framework)."""

    micro: int | None
    accumulation: int | None
    global_: int | None

    def missing(self) -> int:
        return sum(n is None for n in (self.micro, self.accumulation, self.global_))


class BatchContradiction(ValueError):
    """The three numbers cannot all be true; the text shows the sum and the way out."""


def dims(spec: ParallelSpec) -> Dims:
    """The derived layout of a spec."""
    cluster, parallelism = spec.cluster, spec.parallelism
    gpus = cluster.gpus_per_node
    return Dims(
        nodes=cluster.nodes or 1,
        local_world_size=gpus or None,
        tp=parallelism.tp or 1,
        ulysses=parallelism.ulysses or 1,
    )


def batch_numbers(spec: ParallelSpec) -> BatchNumbers:
    """The batch, with the third number derived where two and the ranks are known.

    Raises:
        BatchContradiction: the numbers given exclude each other.
    """
    given = BatchNumbers(
        _number(spec.batch.micro_per_gpu),
        _number(spec.batch.accumulation),
        _number(spec.batch.global_),
    )
    layout = dims(spec)
    ranks = layout.data_parallel
    if ranks is None or given.missing() > 1:
        return given
    if given.global_ is None:
        assert given.micro is not None
        assert given.accumulation is not None
        return BatchNumbers(given.micro, given.accumulation, given.micro * given.accumulation * ranks)
    if given.missing() == 0:
        _compare(given, layout, ranks)
        return given
    return _divide(given, layout, ranks)


def _compare(given: BatchNumbers, layout: Dims, ranks: int) -> None:
    assert given.micro is not None
    assert given.accumulation is not None
    assert given.global_ is not None
    product = given.micro * given.accumulation * ranks
    if product != given.global_:
        raise BatchContradiction(
            f"{given.micro} (micro_per_gpu) x {given.accumulation} (accumulation) x "
            f"{ranks} (data-parallel ranks = {how_many_ranks(layout)}) = {product}, "
            f"but batch.global is {given.global_}"
        )


def _divide(given: BatchNumbers, layout: Dims, ranks: int) -> BatchNumbers:
    known, word = (
        (given.micro, "micro_per_gpu") if given.accumulation is None else (given.accumulation, "accumulation")
    )
    assert known is not None
    assert given.global_ is not None
    each, rest = divmod(given.global_, known * ranks)
    if rest or each == 0:
        raise BatchContradiction(
            f"batch.global {given.global_} / ({known} ({word}) x {ranks} (data-parallel ranks = "
            f"{how_many_ranks(layout)})) = {given.global_ / (known * ranks):g}, not a whole number"
        )
    if given.accumulation is None:
        return BatchNumbers(given.micro, each, given.global_)
    return BatchNumbers(each, given.accumulation, given.global_)


def nearest_global(spec: ParallelSpec, wanted: int) -> tuple[int, ...]:
    """The valid global batches around `wanted`: multiples of what is fixed."""
    micro, accumulation = _number(spec.batch.micro_per_gpu), _number(spec.batch.accumulation)
    unit = (micro or 1) * (accumulation or 1) * (dims(spec).data_parallel or 1)
    if micro and accumulation:
        return (unit,)
    below = wanted // unit * unit
    return tuple(n for n in (below, below + unit) if n > 0)


def how_many_ranks(layout: Dims) -> str:
    """`8 GPUs / (tp 2 x ulysses 1)`: where the number of data-parallel ranks comes from."""
    gpus = f"{layout.world_size} GPUs"
    if layout.nodes > 1:
        gpus = f"{layout.nodes} nodes x {layout.local_world_size} GPUs"
    if layout.tp == layout.ulysses == 1:
        return gpus
    return f"{gpus} / (tp {layout.tp} x ulysses {layout.ulysses})"


def _number(value: object) -> int | None:
    return None if value is UNSET or value is AUTO else int(value)  # type: ignore[call-overload]
