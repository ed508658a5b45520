"""Bytes of a token on a GPU: what a micro batch is multiplied with."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from dsbridge.planner import states
from dsbridge.planner.activations import Kept, kept, last_norm, transformers_release
from dsbridge.planner.candidate import Candidate, running_again
from dsbridge.planner.flow import SHARES_HEADS, Setting
from dsbridge.planner.job import FLASH, FUSED_LOSS, Job
from dsbridge.planner.layout import Release
from dsbridge.planner.liger import NOTHING, replaced
from dsbridge.planner.parameters import parameters
from dsbridge.planner.shape import ModelShape
from dsbridge.planner.start_up import zero_init
from dsbridge.planner.styles import style
from dsbridge.planner.tuning import Lora

# native_dropout_cuda keeps a mask of bools: aten/src/ATen/native/cuda/Dropout.cu of torch. A CPU keeps one of
# the type of what is dropped
MASK = 1
UNMEASURED = 0.3  # of an architecture whose layers no recording confirms


class Tokens(NamedTuple):
    """Bytes of a token. kept: of all layers that do not run again, best, least and most; work: alive while a
    layer goes back, what it kept with it; gradients: of activations alone; outside: kept behind the layers;
    checkpoints: kept for layers that run again; constant, constant_again: bytes whatever the number of
    tokens, of layers that do not run again and of one that does. bounds: of work and gradients, over these.
    last: whether the last layer runs again."""

    kept: tuple[float, float, float]
    work: float
    gradients: float
    outside: float
    constant: float
    constant_again: float
    checkpoints: float
    bounds: tuple[float, float]
    last: bool


# DeepSpeed: from here an engine of stage 3 replaces `torch.nn.functional.linear` (memory_efficient_linear)
# without
# zero.Init too: `_enable_mem_efficient_linear`, runtime/zero/partition_parameters.py, in 0.19.4 and not in
# 0.19.3
REPLACES_LINEAR: Release = (0, 19, 4)


def settings(job: Job, candidate: Candidate) -> tuple[Setting, Setting, Setting]:
    """How a job runs its layers: most likely, with the fewest bytes, and with the most that its words
    allow."""
    release, shape = transformers_release(job.shape), job.shape
    size = states.BYTES[job.dtype]
    # DeepSpeed casts every parameter to its 16-bit type, fp32 adapters too: seen in stages 0 to 3
    # (tests/recorded/planner/activations, `engine`)
    best = Setting(
        itemsize=size,
        adapter=size,
        flash=job.attention == FLASH,
        ulysses=candidate.ulysses,
        wrapped=candidate.stage == 3 and (zero_init(job, candidate) or job.deepspeed >= REPLACES_LINEAR),
        sequence=job.sequence,
        release=release,
        kernels=replaced(shape.model_type) if job.loss == FUSED_LOSS else NOTHING,
        mask=MASK if isinstance(job.method, Lora) and job.method.dropout else 0,
    )
    window, older = shape.sliding_window, release < SHARES_HEADS
    slides = style(shape.model_type).masks if older else window is not None and window < job.sequence
    return best, best._replace(sdpa=False), best._replace(masked=slides)


def head_trained(job: Job) -> bool:
    """Whether the output layer gets a gradient."""
    shape = job.shape
    part = "embedding" if shape.tied else "head"
    name = next((f"{m.name}.weight" for m in shape.outside if m.part == part), "")
    every = parameters(shape, job.method, job.scheme, 1, job.deepspeed)
    return any(one.name == name and one.trainable for one in every)


def per_token(job: Job, candidate: Candidate) -> Tokens:
    """Of the layers that this rank holds of the sequence that it sees."""
    return _per_token(job, settings(job, candidate), candidate.tp, candidate.spacing)


@cache
def _per_token(job: Job, ways: tuple[Setting, Setting, Setting], tp: int, spacing: int) -> Tokens:
    shape = job.shape
    inputs = bool(spacing or job.scheme)  # both make the embedding's result ask for a gradient
    found: list[Kept] = [kept(shape, job.method, job.scheme, one, tp, job.deepspeed, inputs) for one in ways]
    best, again = found[0], {index for index in range(shape.layers) if spacing and index % spacing == 0}
    stay = [index for index in range(shape.layers) if index not in again]
    totals = [sum(one.layers[index] for index in stay) for one in found]
    spread = 0.0 if style(shape.model_type).measured else UNMEASURED
    largest = max(best.layers, default=0.0)
    return Tokens(
        kept=(totals[0], min(totals) * (1 - spread), max(totals) * (1 + spread)),
        work=best.busy,
        gradients=max(0.0, best.busy - largest),
        outside=last_norm(shape, job.method, job.scheme, ways[0], head_trained(job)),
        constant=sum(best.constants[index] for index in stay),
        constant_again=max((best.constants[index] for index in again), default=0.0),
        checkpoints=_checkpoints(shape, job, running_again(spacing, shape.layers)),
        bounds=style(shape.model_type).work,
        last=shape.layers - 1 in again,
    )


def _checkpoints(shape: ModelShape, job: Job, layers: int) -> float:
    # the input of each layer; a reentrant one has its result twice while it goes back
    return states.BYTES[job.dtype] * shape.hidden * (layers + (job.reentrant and layers > 0))
