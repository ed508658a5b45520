"""What ZeRO-3 has gathered at a time: the parameters in use, those soon used again, and those fetched
ahead."""

from __future__ import annotations

from typing import NamedTuple

from dsbridge.planner.candidate import FULL, Candidate
from dsbridge.planner.job import Job
from dsbridge.planner.parameters import parameters
from dsbridge.planner.states import BYTES
from dsbridge.planner.terms import Formula, Term

_SOURCE = (
    "runtime/zero/partitioned_param_coordinator.py of DeepSpeed 0.19.8 (__params_to_release, "
    "fetch_sub_module); "
    "that nothing is gathered twice while it is small was counted "
    "(docs/explanation/what-deepspeed-holds-and-moves.md)"
)
TURNING = Formula(
    "between forward and backward: parameters that are used again within stage3_max_reuse_distance elements "
    "stay, and stage3_prefetch_bucket_size elements are fetched ahead, within stage3_max_live_parameters",
    _SOURCE,
)
WORKING = Formula(
    "one layer (all experts of it in transformers 5), or the head or embedding if larger, and those "
    "fetched ahead",
    _SOURCE,
)


class Gathered(NamedTuple):
    """Parameters that are whole on a rank, in bytes. turning: when the forward pass ends; working: later."""

    turning: Term
    working: Term


def gathered(job: Job, candidate: Candidate) -> Gathered:
    """Of a rank in stage 3."""
    knobs, size = candidate.knobs, BYTES[job.dtype]
    every = parameters(job.shape, job.method, job.scheme, candidate.tp, job.deepspeed)
    sizes = [one.size for one in every if one.size > knobs.persistence and not one.packed]
    largest = max((largest_piece(job), *sizes))
    times = 3 if candidate.checkpointing == FULL else 2  # a layer runs forward again before it goes back
    after = kept = 0
    for one in reversed(sizes):
        if times * after >= knobs.reuse:
            break
        kept, after = kept + one, after + one
    whole = sum(sizes)
    ahead = min(knobs.prefetch, max(0, knobs.live - kept))
    turning = min(whole, max(kept, largest) + ahead)
    working = min(whole, largest + min(knobs.prefetch, knobs.live))
    return Gathered(
        Term("parameters gathered", size * turning, TURNING, size * min(largest, turning), size * turning),
        Term("parameters gathered", size * working, WORKING, size * min(largest, working), size * turning),
    )


def largest_piece(job: Job) -> int:
    """Elements of what is whole at once at least: a layer goes back as one, head and embedding by
    themselves."""
    return max(job.shape.largest_layer, job.shape.largest_module[1])
