"""How long an optimizer step takes, as a range: `step_time(job, candidate, communication)`.

Compute is operations over what a GPU reaches. A collective takes `calls x alpha + bytes / rate`; its rings
are as fast as the slower of the node's links and the node's adapters, which all GPUs of a node share. The
lower bound of the total hides what can run beside the matrix products; the upper hides nothing.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from dsbridge.planner import rates
from dsbridge.planner.candidate import NOWHERE, Candidate
from dsbridge.planner.communication import LAST, OTHER, TP, ULYSSES
from dsbridge.planner.job import Job
from dsbridge.planner.parameters import layout
from dsbridge.planner.terms import Communication, Range, StepTime, Wire
from dsbridge.planner.work import operations

NOTHING = Range(0.0, 0.0)
# read for every collective of thousands of layouts
(_NEAR_LOW, _NEAR_HIGH), (_FAR_LOW, _FAR_HIGH) = rates.ALPHA_INSIDE, rates.ALPHA_BETWEEN


class Pace(NamedTuple):
    """Of a job. forward, backward: seconds of a token on one GPU, backward with what is done again; links,
    switched, out: seconds of a byte, at least and at most: of a GPU in its node, by ranks of the group in
    it, of an all-reduce there, and of a node's adapters together. trained: parameters."""

    forward: Range
    backward: Range
    links: tuple[tuple[float, float], ...]
    switched: tuple[tuple[float, float], ...]
    out: tuple[float, float]
    trained: int


@lru_cache(maxsize=32)
def pace(job: Job, spacing: int) -> Pace:
    """What every layout of a job shares."""
    forward, backward = operations(job, spacing=spacing)
    share = rates.EXPERTS if job.shape.experts else rates.DENSE
    reached, cluster = job.cluster.gpu.reached, job.cluster
    efficiency = rates.INSIDE_PCIE if cluster.intra.name.startswith("pcie") else rates.INSIDE
    links, switched = [], []
    for members in range(cluster.per_node + 1):
        rate = cluster.intra.among(max(2, members))
        in_switch = members >= rates.SWITCHED_FROM and cluster.intra.name in rates.SWITCHES
        most = 1 / (efficiency.low * rate)
        links.append((1 / (efficiency.high * rate), most))
        switched.append((1 / ((rates.SWITCHED if in_switch else efficiency.high) * rate), most))
    out = cluster.adapters * cluster.inter.rate
    return Pace(
        Range(forward / (share.high * reached), forward / (share.low * reached)),
        Range(backward / (share.high * reached), backward / (share.low * reached)),
        tuple(links),
        tuple(switched),
        (1 / (rates.BETWEEN.high * out), 1 / (rates.BETWEEN.low * out)),
        sum(layout(job, Candidate(0)).trainable),
    )


def step_time(job: Job, candidate: Candidate, communication: Communication) -> StepTime:
    """Seconds of an optimizer step."""
    speed = pace(job, candidate.spacing)
    steps = candidate.accumulation
    # tokens that one GPU works on, in a micro-step
    tokens = candidate.micro * job.sequence / (candidate.tp * candidate.ulysses)
    fast, slow = tokens * speed.forward.low, tokens * speed.forward.high
    back_fast, back_slow = tokens * speed.backward.low, tokens * speed.backward.high
    compute = Range(steps * (fast + back_fast), steps * (slow + back_slow))

    last = other = 0.0
    data_low = data_high = tensor_low = tensor_high = sequence_low = sequence_high = 0.0
    for wire in communication.wires:
        least, most = of_wire(wire, speed)
        group, when = wire.group, wire.when
        if group == TP:
            tensor_low += least
            tensor_high += most
        elif group == ULYSSES:
            sequence_low += least
            sequence_high += most
        else:
            data_low += least
            data_high += most
            if when == LAST:
                last += least
            elif when == OTHER:
                other += least

    moved, transfer = _offload(job, candidate, communication, speed)
    alone, left = data_low, 0.0
    if candidate.stage and candidate.overlaps():
        # stage 3 fetches beside all of a micro-step, the others reduce beside the backward pass
        window = fast + back_fast if candidate.stage == 3 else back_fast
        alone -= last + other
        left = max(0.0, last - window) + max(0.0, other - (steps - 1) * window)
    # transfers between GPU and host run beside compute too, and beside what runs between GPUs
    left = max(left, transfer - compute.low)
    total = Range(
        compute.low + alone + left + tensor_low + sequence_low + moved.low - transfer,
        compute.high + data_high + tensor_high + sequence_high + moved.high,
    )
    return StepTime(
        compute,
        Range(data_low, data_high),
        Range(tensor_low, tensor_high),
        Range(sequence_low, sequence_high),
        moved,
        total,
    )


def of_wire(wire: Wire, speed: Pace) -> tuple[float, float]:
    """Seconds of collectives, at least and at most."""
    _, kind, _, inside, between, calls, members = wire
    if between:
        fast, slow = speed.links[members]
        out_fast, out_slow = speed.out
        return (
            calls * _FAR_LOW + max(inside * fast, between * out_fast),
            calls * _FAR_HIGH + max(inside * slow, between * out_slow),
        )
    fast, slow = (speed.switched if kind == "all_reduce" else speed.links)[members]
    return calls * _NEAR_LOW + inside * fast, calls * _NEAR_HIGH + inside * slow


def _offload(
    job: Job, candidate: Candidate, communication: Communication, speed: Pace
) -> tuple[Range, float]:
    """Transfers, disks, and Adam on the host; and the transfers at least."""
    if candidate.offload_optimizer == NOWHERE and candidate.offload_param == NOWHERE:
        return NOTHING, 0.0
    share = rates.PINNED if candidate.knobs.pin else rates.PAGEABLE
    rate = job.cluster.pcie.rate
    transfer = Range(communication.pcie / (share.high * rate), communication.pcie / (share.low * rate))
    disk = Range(communication.disk / rates.DISK.high, communication.disk / rates.DISK.low)
    adam = NOTHING
    if candidate.offload_optimizer != NOWHERE:
        # every GPU has its part of what is trained, and a node does that of all its GPUs
        mine = speed.trained / candidate.tp / candidate.sharding(job.cluster.world) * job.cluster.per_node
        adam = Range(mine * rates.ADAM / rates.HOST.high, mine * rates.ADAM / rates.HOST.low)
    return Range(transfer.low + disk.low + adam.low, transfer.high + disk.high + adam.high), transfer.low
