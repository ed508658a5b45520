"""What an optimizer step of a layout moves: `communication(job, candidate)`.

Elements are those of `traffic`, which recorded engines issued to the element. What depends on few fields is
computed once for all layouts that share them; a layout then costs a few additions.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from dsbridge.planner import plusplus, traffic
from dsbridge.planner.again import Gathers, gathers
from dsbridge.planner.candidate import Candidate, running_again
from dsbridge.planner.job import Job
from dsbridge.planner.layout import Layout
from dsbridge.planner.parameters import layout as layout_of
from dsbridge.planner.shape import ModelShape
from dsbridge.planner.terms import Communication, Wire
from dsbridge.planner.traffic import BOUNDARY, FORWARD, LATER, NOT_BOUNDARY, STEP, Moved
from dsbridge.planner.transfers import Moves, moves
from dsbridge.planner.wires import Group, sent

DP, TP, ULYSSES, HPZ = "dp", "tp", "ulysses", "hpz"
LAST, OTHER, UPDATE = "last", "other", "step"
# the phases of a step, by when they come
PHASES = ((FORWARD, LAST), (BOUNDARY, LAST), (LATER, OTHER), (NOT_BOUNDARY, OTHER), (STEP, UPDATE))
QUANTISED = "ZeRO++'s quantised collectives"
PACKED = "what stage 3 gathers of weights quantised in this way was not measured, and is not counted"
Elements = Mapping[tuple[str, str, str], int]


class Part(NamedTuple):
    """Collectives of one micro-step, or of one step."""

    elements: Elements
    wires: tuple[Wire, ...]


class Kept(NamedTuple):
    """What layouts share. once: the last micro-step and the update; again: any other micro-step."""

    once: Part
    again: Part
    moves: Moves
    unmeasured: tuple[str, ...]


class Known:
    """What was computed of a job, by the fields that it depends on."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.kept: dict[tuple[object, ...], Kept] = {}
        self.parts: dict[tuple[object, ...], tuple[Part, ...]] = {}

    def data_parallel(self, candidate: Candidate) -> Kept:
        """Of ZeRO."""
        stage = candidate.stage
        key = (
            stage,
            candidate.tp,
            candidate.ulysses > 1,
            candidate.offload_optimizer,
            candidate.offload_param,
            stage == 3 and candidate.checkpointing,
            candidate.accumulation > 1,
            candidate.knobs,
        )
        found = self.kept.get(key)
        if found is None:
            found = self.kept[key] = _data_parallel(self.job, candidate)
        return found

    def inner(self, candidate: Candidate) -> tuple[Part, ...]:
        """Of tensor and sequence parallelism, for a sequence in a micro-step."""
        key = (candidate.tp, candidate.ulysses, candidate.checkpointing)
        found = self.parts.get(key)
        if found is None:
            found = self.parts[key] = tuple(_inner(self.job, candidate))
        return found


@lru_cache(maxsize=8)
def known(job: Job) -> Known:
    """What was computed of a job so far."""
    return Known(job)


def communication(job: Job, candidate: Candidate) -> Communication:
    """What an optimizer step moves."""
    memory, steps = known(job), candidate.accumulation
    kept = memory.data_parallel(candidate)
    elements = dict(kept.once.elements)
    wires = list(kept.once.wires)
    if steps > 1:
        _add(elements, wires, kept.again, steps - 1, steps - 1)
    if candidate.tp > 1 or candidate.ulysses > 1:
        for part in memory.inner(candidate):
            _add(elements, wires, part, steps * candidate.micro, steps)
    inside = between = 0.0
    for wire in wires:
        inside += wire.inside
        between += wire.between
    moved = kept.moves
    return Communication(
        elements,
        inside,
        between,
        moved.once + steps * moved.each,
        (moved.disk_once + steps * moved.disk_each) * job.cluster.per_node,
        tuple(wires),
        kept.unmeasured,
    )


def _add(
    elements: dict[tuple[str, str, str], int], wires: list[Wire], part: Part, times: int, calls: int
) -> None:
    for key, count in part.elements.items():
        elements[key] = elements.get(key, 0) + times * count
    for group, kind, when, inside, between, each, members in part.wires:
        wires.append(Wire(group, kind, when, times * inside, times * between, calls * each, members))


def _data_parallel(job: Job, candidate: Candidate) -> Kept:
    layout, knobs = layout_of(job, candidate), candidate.knobs
    played = gathers(job, candidate) if candidate.stage == 3 else Gathers((), 0, 0, 0)
    hpz = min(knobs.hpz, layout.ranks)
    moved = traffic.model_states(
        layout, per_owner=knobs.per_owner, gathering=traffic.Gathering(played.again, hpz, played.packed)
    )
    if layout.ranks == 1:
        moved = traffic.nothing()
    places = {layout.ranks: (DP, Group(layout.ranks, candidate.tp))}
    if hpz > 1:
        places[hpz] = (HPZ, Group(hpz, candidate.tp)) if hpz < layout.ranks else places[layout.ranks]
    extra: dict[str, tuple[int, int]] = {}
    quantised = candidate.stage == 3 and (knobs.quantized_weights or knobs.quantized_gradients)
    if quantised and knobs.quantized_gradients:
        moved, near, far = plusplus.gradients(moved, layout, _vectors(job.shape), job.cluster.per_node)
        extra = dict.fromkeys((BOUNDARY, NOT_BOUNDARY), (near, far))
    if quantised and knobs.quantized_weights:
        moved = plusplus.weights(moved, layout)
    calls = _calls(layout, candidate, played)
    parts: dict[bool, tuple[dict[tuple[str, str, str], int], list[Wire]]] = {
        False: ({}, []),
        True: ({}, []),
    }
    for phase, when in PHASES:
        elements, wires = parts[when == OTHER]
        for (kind, dtype, ranks), count in moved[phase].items():
            name, group = places[ranks]
            _put(job, elements, wires, (name, kind, dtype), count, group, when, calls.get((phase, kind), 1.0))
        for name, group, count in _quantised_groups(job, extra.get(phase)):
            _put(job, elements, wires, (name, "all_to_all", "int8"), count, group, when, 1.0)
    once, again = (Part(elements, tuple(wires)) for elements, wires in (parts[False], parts[True]))
    told: tuple[str, ...] = (QUANTISED,) if quantised else ()
    if candidate.stage == 3 and job.scheme and not layout.packed:
        told += (PACKED,)
    return Kept(once, again, moves(layout, candidate, played.again + played.packed), told)


def _quantised_groups(job: Job, payload: tuple[int, int] | None) -> list[tuple[str, Group, int]]:
    if payload is None:
        return []
    node = (plusplus.NODE, Group(job.cluster.per_node), payload[0])
    return [node, (plusplus.NODES, Group(job.cluster.nodes, job.cluster.per_node), payload[1])]


def _vectors(shape: ModelShape) -> int:
    """The largest size of a parameter of one dimension."""
    sizes = [size for module, _ in shape.modules() for _, size in module.weights]
    return max((size[0] for size in sizes if len(size) == 1), default=0)


def _calls(layout: Layout, candidate: Candidate, played: Gathers) -> dict[tuple[str, str], float]:
    """How many collectives the elements of a phase go in."""
    total, knobs = sum(layout.trainable), candidate.knobs
    buckets = float(max(1, -(-total // max(1, knobs.reduce_bucket))))
    shards = float(max(1, -(-total // max(1, knobs.allgather_bucket))))
    found = {
        (phase, kind): buckets for phase in (BOUNDARY, NOT_BOUNDARY) for kind in ("all_reduce", "reduce")
    }
    found |= {(phase, "reduce_scatter"): buckets for phase in (BOUNDARY, NOT_BOUNDARY)}
    found[STEP, "all_gather"] = 1.0 if layout.stage == 3 else shards
    for phase in (FORWARD, LATER):
        found[phase, "all_gather"] = played.calls / 2
    for phase in (BOUNDARY, NOT_BOUNDARY):
        found[phase, "all_gather"] = played.calls / 2
    return found


def _put(
    job: Job,
    elements: dict[tuple[str, str, str], int],
    wires: list[Wire],
    key: tuple[str, str, str],
    count: int,
    group: Group,
    when: str,
    calls: float,
) -> None:
    """Add a collective, if it moves anything."""
    if not count or group.size < 2:
        return
    elements[key] = elements.get(key, 0) + count
    found = sent(key[1], key[2], count, group, job.cluster.per_node)
    wires.append(Wire(key[0], key[1], when, found.inside, found.between, calls, found.members))


def _inner(job: Job, candidate: Candidate) -> list[Part]:
    """Blocking collectives of a sequence in a micro-step."""
    again = running_again(candidate.spacing, job.shape.layers)
    tokens = _tokens(job, again)
    found: list[tuple[str, int, Moved]] = []
    if candidate.tp > 1:
        own = tokens._replace(total=tokens.total // candidate.ulysses)
        found.append((TP, candidate.tp, traffic.tensor_parallel(own, candidate.tp, job.deepspeed)))
    if candidate.ulysses > 1:
        found.append((ULYSSES, candidate.ulysses, traffic.ulysses(tokens, candidate.ulysses)))
    parts = []
    for name, degree, moved in found:
        elements: dict[tuple[str, str, str], int] = {}
        wires: list[Wire] = []
        group = Group(degree, 1 if name == TP else candidate.tp)
        each = _inner_calls(job.shape.layers, name, again)
        for phase in (FORWARD, BOUNDARY):
            for (kind, dtype, _), count in moved[phase].items():
                call = each[phase] if kind in ("all_reduce", "all_to_all") else 1.0
                _put(job, elements, wires, (name, kind, dtype), count, group, LAST, call)
        parts.append(Part(elements, tuple(wires)))
    return parts


def _inner_calls(layers: int, name: str, again: int) -> dict[str, float]:
    """Collectives of a micro-step: of AutoTP two a layer forward, five backward, of Ulysses four each way;
    one and four more of a layer that runs again."""
    forward, backward, more = (2, 5, 1) if name == TP else (4, 4, 4)
    return {FORWARD: float(forward * layers), BOUNDARY: float(backward * layers + more * again)}


def _tokens(job: Job, again: int) -> traffic.Tokens:
    shape = job.shape
    size = shape.head_dim
    if shape.latent:
        # queries and keys are wider than values; the mean moves as much
        latent = shape.latent
        size = (latent.nope_head_dim + latent.rope_head_dim + latent.v_head_dim) // 2
    return traffic.Tokens(
        total=job.sequence,
        sequences=1,
        hidden=shape.hidden,
        layers=shape.layers,
        vocabulary=shape.vocab,
        heads=shape.heads,
        kv_heads=shape.kv_heads,
        head_size=size,
        tied=shape.tied,
        again=again,
        dtype=job.dtype,
    )
