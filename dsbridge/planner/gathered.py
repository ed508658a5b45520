"""What ZeRO-3 has gathered at a time: the parameters in use, those soon used again, and those fetched
ahead."""

from __future__ import annotations

from typing import NamedTuple

from dsbridge.planner.again import gathers
from dsbridge.planner.candidate import Candidate, running_again
from dsbridge.planner.job import Job
from dsbridge.planner.parameters import layout
from dsbridge.planner.quantised import FOUR_BIT
from dsbridge.planner.states import BYTES
from dsbridge.planner.terms import Formula, Term

_SOURCE = (
    "runtime/zero/partitioned_param_coordinator.py of DeepSpeed; dsbridge/planner/coordinator.py, equal to "
    "its own counter (tests/recorded/planner/live-hf.json)"
)
TURNING = Formula(
    "when the backward pass begins: DeepSpeed's coordinator played over the model's modules, with "
    "stage3_max_reuse_distance, stage3_prefetch_bucket_size and stage3_max_live_parameters",
    _SOURCE,
)
KEPT = Formula(
    "in layers that do not run again, and under the kind that is not reentrant, bitsandbytes' MatMul4Bit "
    "keeps each gathered 4-bit weight until its backward pass: all of them are whole when that begins",
    "bitsandbytes/autograd/_functions.py (ctx.tensors) of 0.48.2; tests/recorded/planner/measured, "
    "llama-nf4-z3-*-tiny-live-*",
)
WORKING = Formula(
    "of a layer that goes back and those fetched ahead: from when it begins to the most; at most, the buffer "
    "that a collective for several parameters has beside them",
    _SOURCE + "; AllGatherCoalescedHandle.wait, runtime/zero/partition_parameters.py",
)


class Gathered(NamedTuple):
    """Parameters that are whole on a rank, in bytes. turning: when the forward pass ends; last, first: while
    the last and the first layer go back."""

    turning: Term
    last: Term
    first: Term


def gathered(job: Job, candidate: Candidate) -> Gathered:
    """Of a rank in stage 3."""
    size, played = float(BYTES[job.dtype]), gathers(job, candidate)
    turning, most = size * played.turning, size * played.most
    first, last = (_working(sizes, size) for sizes in (played.first, played.last))
    if kept := keeps(job, candidate):
        packed = kept * size * sum(layout(job, candidate).packed)
        turning = max(turning, turning + packed - size * played.packed_turning)
        term = Term("parameters gathered", turning, KEPT, turning, max(turning, packed + most))
        return Gathered(term, term, first)
    return Gathered(Term("parameters gathered", turning, TURNING), last, first)


def _working(sizes: tuple[int, int, int], size: float) -> Term:
    begins, most, buffered = (size * one for one in sizes)
    return Term("parameters gathered", most, WORKING, begins, buffered)


def keeps(job: Job, candidate: Candidate) -> float:
    """The share of gathered 4-bit weights that autograd holds on to: a reentrant checkpoint runs forward
    without it."""
    if job.scheme not in FOUR_BIT:
        return 0.0
    layers = job.shape.layers
    return 1 - running_again(candidate.spacing, layers) / layers if job.reentrant else 1.0
