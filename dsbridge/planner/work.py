"""Floating point operations of a token: matrix products and attention scores, forward, again, and backward.

A product with a matrix of n weights is 2n operations forward, 2n for the gradient of its input, 2n for that
of its weights. Embeddings are look-ups and count nothing; a head counts, a tied one too. Of routed experts
only those that a token meets. Frozen weights have no gradient, and nothing before the first trained
parameter has one at all. Attention: 4 operations a token, key, head and channel forward, twice that
backward; a causal kernel that keeps no scores (`flash`) skips the half that is masked, others do not.
"""

from __future__ import annotations

from functools import cache
from math import prod
from typing import NamedTuple

from dsbridge.planner.candidate import running_again
from dsbridge.planner.job import EAGER, Job
from dsbridge.planner.layout import Release
from dsbridge.planner.modules import EMBEDDING
from dsbridge.planner.parameters import in_order, parameters
from dsbridge.planner.shape import ModelShape
from dsbridge.planner.tuning import Freeze, Lora


class Work(NamedTuple):
    """Operations of a token. scores: of attention, for each token that it can look at, in all layers forward;
    the others are of matrices. layers, outside: forward, in the layers and outside of them; inputs,
    weights: of the two gradients; touched: the part of the layers' attention that a gradient flows
    through."""

    layers: float
    outside: float
    inputs: float
    weights: float
    scores: float
    touched: float


def operations(job: Job, *, spacing: int) -> tuple[float, float]:
    """Of a token of this job: in an optimizer step's forward passes, and in its backward passes with what
    checkpointing each of so many layers does again."""
    work = of_token(job.shape, job.method, job.scheme, job.deepspeed, bool(spacing))
    looked_at = job.sequence if job.attention == EAGER else job.sequence / 2
    attention = work.scores * looked_at
    forward = work.layers + work.outside + attention
    backward = work.inputs + work.weights + 2 * attention * work.touched
    layers = job.shape.layers
    again = running_again(spacing, layers) / layers
    return forward, backward + again * (work.layers + attention)


@cache
def of_token(
    shape: ModelShape, method: Lora | Freeze | None, scheme: str, release: Release, flowing: bool
) -> Work:
    """flowing: the embedded tokens need a gradient in any case, as where layers are checkpointed."""
    every = parameters(shape, method, scheme, 1, release)
    shares = _shares(shape)
    layers = outside = inputs = weights = 0.0
    flow, first = flowing, shape.layers
    for one in every:
        share = shares.get(one.name, 1.0 if ".lora_" in one.name else 0.0)
        inside = one.name.startswith(f"{shape.prefix}.")
        work = 2.0 * share * _count(shape, one.name, one.size, one.packed)
        layers += work if inside else 0.0
        outside += 0.0 if inside else work
        inputs += work if flow else 0.0
        weights += work if one.trainable else 0.0
        if one.trainable and not flow:
            flow = True
            first = int(one.name.removeprefix(f"{shape.prefix}.").partition(".")[0]) if inside else 0
    if flowing:
        first = 0
    for module in shape.outside:
        if module.tied:
            # counted where the embedding is, as a look-up
            work = 2.0 * module.size
            outside += work
            inputs += work if flow else 0.0
            weights += (
                work if any(one.trainable and one.name.startswith(_first(shape)) for one in every) else 0.0
            )
    return Work(layers, outside, inputs, weights, _scores(shape), (shape.layers - first) / shape.layers)


def _first(shape: ModelShape) -> str:
    return next(module.name for module in shape.outside if module.part == "embedding")


def _count(shape: ModelShape, name: str, size: int, packed: int) -> int:
    """Weights of a parameter; a quantised one says only its bytes."""
    return _sizes(shape)[name] if packed else size


@cache
def _sizes(shape: ModelShape) -> dict[str, int]:
    return {
        f"{name}.{weight}": prod(size) for name, module in in_order(shape) for weight, size in module.weights
    }


@cache
def _shares(shape: ModelShape) -> dict[str, float]:
    """How often a token meets each weight of a matrix; what is no matrix is not in it."""
    found: dict[str, float] = {}
    experts = shape.experts
    part = experts.per_token / experts.routed if experts else 1.0
    for name, module in in_order(shape):
        if module.kind == EMBEDDING:
            continue
        for weight, size in module.weights:
            if len(size) > 1:
                found[f"{name}.{weight}"] = part if module.part == "experts" else 1.0
    return found


def _scores(shape: ModelShape) -> float:
    """Operations forward for each pair of tokens, all layers: products with keys and with values."""
    if shape.latent:
        keys, values = shape.latent.nope_head_dim + shape.latent.rope_head_dim, shape.latent.v_head_dim
    else:
        keys = values = shape.head_dim
    return 2.0 * shape.layers * shape.heads * (keys + values)
