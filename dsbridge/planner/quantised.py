"""Bytes of a quantised base model: packed weights, their scales, and what stays as it was.

Only linear maps outside the head are quantised, as transformers does it: embeddings, norms, the head, and
experts
held as one parameter (transformers 5) keep their type.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import NamedTuple

from dsbridge.planner.errors import ShapeError
from dsbridge.planner.modules import CONV1D, LINEAR, Module
from dsbridge.planner.shape import ModelShape

_BLOCK = 64  # weights that share a scale (bitsandbytes functional.py: quantize_4bit)
_SCALES = 256  # scales that share a scale of their own, under double quantisation
_CODE_4BIT, _CODE_8BIT = 16 * 4, 256 * 4  # each module's table of values, fp32


class Packed(NamedTuple):
    """Bytes of one matrix: its weights, and its scales with all that unpacking needs."""

    weights: int
    scales: int


@dataclass(frozen=True)
class Quantised:
    """A quantised model in bytes. `kept` parameters keep their type and take `kept_bytes`."""

    weights: int
    scales: int
    kept: int
    kept_bytes: int

    @property
    def total(self) -> int:
        """Bytes of the whole base model."""
        return self.weights + self.scales + self.kept_bytes


def four_bit(inputs: int, outputs: int, double: bool = True) -> Packed:
    """NF4 or FP4 of bitsandbytes: half a byte each, fp32 scales of blocks of 64, in 8 bits if `double`."""
    count = inputs * outputs
    blocks = ceil(count / _BLOCK)
    if not double:
        return Packed(ceil(count / 2), 4 * blocks + _CODE_4BIT)
    nested = 4 * ceil(blocks / _SCALES) + _CODE_8BIT + 4  # scales, their table, the mean taken off
    return Packed(ceil(count / 2), blocks + nested + _CODE_4BIT)


def eight_bit(inputs: int, outputs: int) -> Packed:
    """LLM.int8 of bitsandbytes: a byte each, one fp32 scale for each output."""
    return Packed(inputs * outputs, 4 * outputs)


def gptq(inputs: int, outputs: int, bits: int = 4, group: int = 128) -> Packed:
    """GPTQ (auto-gptq 0.7.1): packed in int32; fp16 scales and packed zeros by group, indexes by input."""
    groups = ceil(inputs / group) if group > 0 else 1
    zeros = 4 * groups * (outputs // 32 * bits)
    return Packed(4 * (inputs // 32 * bits) * outputs, 2 * groups * outputs + zeros + 4 * inputs)


def fp8(inputs: int, outputs: int, block: int = 128) -> Packed:
    """Fine-grained FP8 (DeepSeek): a byte each, one fp32 scale for each square of 128 by 128."""
    return Packed(inputs * outputs, 4 * ceil(inputs / block) * ceil(outputs / block))


SCHEMES: dict[str, Callable[[int, int], Packed]] = {
    "nf4": four_bit,
    "nf4-single": partial(four_bit, double=False),
    "fp4": four_bit,
    "fp4-single": partial(four_bit, double=False),
    "int8": eight_bit,
    "gptq-4bit": gptq,
    "gptq-8bit": partial(gptq, bits=8),
    "fp8": fp8,
}


# those that bitsandbytes packs two to a byte: what ZeRO-3 does with them was measured
FOUR_BIT = ("nf4", "nf4-single", "fp4", "fp4-single")


def quantised(shape: ModelShape, scheme: str = "nf4", kept_type: int = 2) -> Quantised:
    """Bytes of the model under a scheme; what is not quantised takes `kept_type` bytes a parameter."""
    if scheme not in SCHEMES:
        raise ShapeError(f"{scheme!r} is no scheme of quantisation", f"give one of {', '.join(SCHEMES)}")
    weights = scales = done = 0
    for module, times in shape.modules():
        matrix = module.matrix
        if matrix and quantisable(module):
            packed = SCHEMES[scheme](*matrix)
            weights += packed.weights * module.copies * times
            scales += packed.scales * module.copies * times
            done += matrix[0] * matrix[1] * module.copies * times
    kept = shape.total - done
    return Quantised(weights, scales, kept, kept * kept_type)


def quantisable(module: Module) -> bool:
    """Whether transformers quantises it: a linear map that is not the head."""
    return module.kind in (LINEAR, CONV1D) and module.part != "head"
