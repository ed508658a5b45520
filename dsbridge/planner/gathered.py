"""What ZeRO-3 has gathered at a time: the parameters in use, those soon used again, and those fetched
ahead."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import NamedTuple

from dsbridge.planner.again import gathers
from dsbridge.planner.candidate import NONE, Candidate
from dsbridge.planner.job import Job
from dsbridge.planner.layout import Release
from dsbridge.planner.parameters import layout, parameters
from dsbridge.planner.quantised import FOUR_BIT
from dsbridge.planner.shape import ModelShape
from dsbridge.planner.states import BYTES
from dsbridge.planner.terms import Formula, Term
from dsbridge.planner.tuning import Freeze, Lora

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
    "without checkpointing, and under the kind that is not reentrant, bitsandbytes' MatMul4Bit keeps each "
    "gathered 4-bit weight until its backward pass: all of them are whole when that begins",
    "bitsandbytes/autograd/_functions.py (ctx.tensors) of 0.48.2; tests/recorded/planner/measured, "
    "llama-nf4-z3-*-tiny-live-*",
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
    at_turn = Term("parameters gathered", turning, TURNING, turning, most)
    if keeps(job, candidate):
        packed = size * sum(layout(job, candidate).packed)
        turning += packed - size * played.packed_turning
        at_turn = Term("parameters gathered", turning, KEPT, turning, max(turning, packed + most))
    return Gathered(
        at_turn,
        Term("parameters gathered", size * working, WORKING, size * min(working, largest_piece(job)), most),
    )


def keeps(job: Job, candidate: Candidate) -> bool:
    """Whether autograd holds on to gathered 4-bit weights: a reentrant checkpoint runs forward without it."""
    return job.scheme in FOUR_BIT and (candidate.checkpointing == NONE or not job.reentrant)


def largest_piece(job: Job) -> int:
    """Elements of what is whole at once at least: a layer goes back as one, head and embedding by
    themselves."""
    if job.scheme in FOUR_BIT:
        return _largest_packed(job.shape, job.method, job.scheme, job.deepspeed, BYTES[job.dtype])
    return max(job.shape.largest_layer, job.shape.largest_module[1])


@cache
def _largest_packed(
    shape: ModelShape, method: Lora | Freeze | None, scheme: str, release: Release, itemsize: int
) -> int:
    sizes: Counter[str] = Counter()
    inside = f"{shape.prefix}."
    for one in parameters(shape, method, scheme, 1, release):
        layer = one.name.removeprefix(inside).partition(".")[0] if one.name.startswith(inside) else one.name
        sizes[layer] += one.elements(itemsize)
    return max(sizes.values())
