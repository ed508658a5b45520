"""Norms on a tape: what they keep differs with the order of casts and products that each architecture
chose."""

from __future__ import annotations

from typing import NamedTuple

from dsbridge.planner.liger import NOTHING, Replaced
from dsbridge.planner.modules import LAYERNORM, RMS
from dsbridge.planner.styles import COHERE, GEMMA, LLAMA
from dsbridge.planner.tape import Tape, Tensor


class Trained(NamedTuple):
    """What of a module is trained: its matrix (or norm), its bias, the rank of its adapter."""

    weight: bool = True
    bias: bool = True
    rank: int = 0


def normed(
    tape: Tape,
    x: Tensor,
    kind: str,
    way: str,
    trained: Trained,
    heads: int = 1,
    kernels: Replaced = NOTHING,
) -> Tensor:
    """A norm's result, and what it keeps: its input in fp32, what it was divided by, what its weight met."""
    if kernels.norms and kind == RMS:
        return _ligers(tape, x, trained, heads, kernels)
    if kind == LAYERNORM and way != COHERE:
        out = tape.op((x,), x.elements, x.itemsize, (x,), trains=trained.weight or trained.bias)
        stats = tape.start(2 * heads, x.itemsize, False)
        if out.grad:
            tape.keep(stats, out)
        return out
    if kind != RMS and way != COHERE:
        return x
    wide = tape.cast(x, 4)
    if way == COHERE:
        wide = tape.op((wide,), x.elements, 4)
    square = tape.op((wide,), x.elements, 4, (wide,), scratch=4 * x.elements)
    root = tape.op((square,), heads, 4)
    if root.grad:
        tape.keep(root, root)
    other = tape.op((wide,), x.elements, 4) if way == COHERE else wide
    scaled = tape.op((other, root), x.elements, 4, (other, root), scratch=4 * x.elements)
    if way == LLAMA:
        scaled = tape.cast(scaled, x.itemsize)
    saves = (scaled,) if trained.weight else ()
    scratch = scaled.bytes if trained.weight else 0.0
    if way in (GEMMA, COHERE) and scaled.grad:
        tape.constant += 4 * x.elements / heads  # the weight in fp32
    out = tape.op((scaled,), x.elements, scaled.itemsize, saves, trains=trained.weight, scratch=scratch)
    return tape.cast(out, x.itemsize)


def _ligers(tape: Tape, x: Tensor, trained: Trained, heads: int, kernels: Replaced) -> Tensor:
    """LigerRMSNormFunction saves its input as it is, and a root in fp32 for each row."""
    out = tape.op((x,), x.elements, x.itemsize, (x,), trains=trained.weight, aliased=kernels.in_place)
    if out.grad:
        tape.keep(tape.start(heads, 4, False), out)
    return out


def plain_norm(tape: Tape, x: Tensor) -> Tensor:
    """A layer norm in fp32 that has no weights."""
    wide = tape.cast(x, 4)
    out = tape.op((wide,), x.elements, 4, (wide,))
    stats = tape.start(2, 4, False)
    if out.grad:
        tape.keep(stats, out)
    return tape.cast(out, x.itemsize)
