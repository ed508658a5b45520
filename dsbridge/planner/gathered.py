"""What ZeRO-3 has gathered at a time: the parameters in use, those soon used again, and those fetched
ahead."""

from __future__ import annotations

from typing import NamedTuple

from dsbridge.planner.again import gathers
from dsbridge.planner.candidate import Candidate
from dsbridge.planner.job import Job
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
    played = gathers(job, candidate)
    working = min(played.most, largest_piece(job) + min(knobs.prefetch, knobs.live))
    turning, most = size * played.turning, size * played.most
    return Gathered(
        Term("parameters gathered", turning, TURNING, turning, most),
        Term("parameters gathered", size * working, WORKING, size * min(working, largest_piece(job)), most),
    )


def largest_piece(job: Job) -> int:
    """Elements of what is whole at once at least: a layer goes back as one, head and embedding by
    themselves."""
    return max(job.shape.largest_layer, job.shape.largest_module[1])
