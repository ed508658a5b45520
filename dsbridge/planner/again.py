"""What a micro-step of a job gathers under ZeRO-3: its coordinator, played over the model's modules."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from dsbridge.planner.candidate import Candidate
from dsbridge.planner.coordinator import Coordinator, Limits
from dsbridge.planner.job import Job
from dsbridge.planner.layout import RECOMPUTE_OWNED, Release
from dsbridge.planner.parameters import Parameter, parameters
from dsbridge.planner.shape import ModelShape
from dsbridge.planner.states import BYTES
from dsbridge.planner.tuning import Freeze, Lora
from dsbridge.planner.turns import NON_REENTRANT, REENTRANT, STAYING, decoder, turns


class Gathers(NamedTuple):
    """again: sizes of the parameters that are gathered more than once in a micro-step, each as often as it is
    once more. calls: collectives of a micro-step. most, turning: elements of parameters that are gathered
    at one time, and when the backward pass begins, without those that always are. packed, packed_turning: as
    again and turning, of the 4-bit weights alone; again has only the others, turning has both. last, first:
    elements gathered when that layer begins to go back, at most while it does, and with buffers."""

    again: tuple[int, ...]
    calls: int
    most: int
    turning: int
    packed: tuple[int, ...] = ()
    packed_turning: int = 0
    last: tuple[int, int, int] = (0, 0, 0)
    first: tuple[int, int, int] = (0, 0, 0)


def gathers(job: Job, candidate: Candidate) -> Gathers:
    """Those of stage 3."""
    knobs = candidate.knobs
    kind = REENTRANT if job.reentrant else NON_REENTRANT
    return _played(
        job.shape,
        job.method,
        job.scheme,
        candidate.tp,
        job.deepspeed,
        kind if candidate.spacing else STAYING,
        candidate.spacing,
        Limits(knobs.live, knobs.reuse, knobs.prefetch),
        knobs.persistence,
        BYTES[job.dtype],
    )


@cache
def _played(
    shape: ModelShape,
    method: Lora | Freeze | None,
    scheme: str,
    tp: int,
    release: Release,
    checkpointing: str,
    spacing: int,
    limits: Limits,
    persistence: int,
    itemsize: int,
) -> Gathers:
    every = parameters(shape, method, scheme, tp, release)
    # Transformers, PEFT or the framework make the embedded tokens need a gradient as soon as layers are
    # checkpointed
    flowing = checkpointing != STAYING
    return played(
        shape,
        every,
        checkpointing,
        limits,
        persistence,
        release,
        flowing=flowing,
        itemsize=itemsize,
        spacing=spacing,
    )


def played(
    shape: ModelShape,
    every: Sequence[Parameter],
    checkpointing: str,
    limits: Limits,
    persistence: int,
    release: Release,
    *,
    flowing: bool,
    itemsize: int = 2,
    spacing: int = 1,
) -> Gathers:
    """Of these parameters; flowing: the embedded tokens need a gradient in any case; itemsize: bytes of an
    element of packed weights; spacing: each of how many layers is checkpointed, if any is."""
    sizes = [one.elements(itemsize) for one in every]
    always = frozenset(place for place, size in enumerate(sizes) if size <= persistence)
    owned = release >= RECOMPUTE_OWNED
    frozen = frozenset(place for place, one in enumerate(every) if owned and not one.trainable)
    hooks = list(turns(decoder(shape, every, flowing=flowing, spacing=spacing), checkpointing))
    coordinator = Coordinator(hooks, sizes, always, frozen, limits)
    times = coordinator.run()
    again: dict[bool, list[int]] = {False: [], True: []}
    for one, size, count in zip(every, sizes, times, strict=True):
        again[bool(one.packed)] += [size] * (count - 1)
    turned = sum(sizes[place] for place in coordinator.turned - always if every[place].packed)
    return Gathers(
        tuple(again[False]),
        coordinator.calls,
        coordinator.most,
        max(0, coordinator.turning),
        tuple(again[True]),
        turned,
        coordinator.during(f"{shape.prefix}.{shape.layers - 1}"),
        coordinator.during(f"{shape.prefix}.0"),
    )
