"""The fullest moment of an optimizer step: more than what is held when AdamW is called (`states.STEPPING`).

Counted in real engines of four releases (`conformance/planner/stepping.py`), by what their operators made:

- the norm of gradients goes parameter by parameter through float64 (`get_grad_norm_direct`);
- a rank's gradients are joined in their own type, and that copy is cast to the master weights' type while
  both and the gradients themselves are alive (`self.flatten(...).to(...)`: `step` of
  runtime/zero/stage_1_and_2.py, `_prepare_fp32_grad_for_sub_group` of stage3.py);
- torch's AdamW over all tensors at once (`foreach`, its default on a GPU) holds the roots of the second
  moments (`exp_avg_sq_sqrt`, torch/optim/adam.py). One kernel (`fused`, DeepSpeed's FusedAdam) does not.

Stage 3 does this for one sub-group at a time.
"""

from __future__ import annotations

from functools import cache

from dsbridge.planner import states
from dsbridge.planner.layout import Layout
from dsbridge.planner.states import BYTES

DOUBLE = 8


@cache
def part(layout: Layout) -> int:
    """Elements that are updated at once: of the largest sub-group in stage 3, else all of a rank's."""
    if layout.stage == 3 and not layout.unsharded:
        return states.largest_sub_group(layout)
    if layout.unsharded:
        return sum(layout.trainable)
    return states.flat(layout.trainable, layout.ranks) // layout.ranks


def norm(layout: Layout) -> int:
    """Bytes that the norm of gradients makes: of the largest piece of a parameter that a rank owns."""
    if layout.unsharded or layout.kept_in_full or not layout.trainable:
        return 0
    largest = max(layout.trainable)
    pieces = layout.ranks if layout.stage == 3 else 1
    return DOUBLE * min(-(-largest // pieces), part(layout))


def upcast(layout: Layout) -> int:
    """Bytes that casting the gradients makes."""
    if layout.kept_in_full:
        return 0
    gradients, masters = BYTES[layout.dtype], BYTES[layout.masters]
    if layout.unsharded:
        return part(layout) * (masters if gradients != masters else 0)
    joined = gradients * part(layout)
    return joined + (masters * part(layout) if layout.dtype != layout.masters else 0)


def roots(layout: Layout) -> int:
    """Bytes of AdamW's roots where it goes over all tensors at once."""
    return BYTES[layout.moments] * part(layout)


def peak(layout: Layout, foreach: bool = True, rank: int = 0) -> int:
    """Bytes that a rank holds of model states at the fullest moment of its step, without offload."""
    held = states.held(layout, rank)
    before = states.size(held[states.BOUNDARY]) + max(norm(layout), upcast(layout))
    return max(before, states.size(held[states.STEPPING]) + (roots(layout) if foreach else 0))
