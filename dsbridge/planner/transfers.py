"""What offload moves between a GPU and its host, and a host and its disks, in an optimizer step.

From the source of DeepSpeed 0.19.8; on CPU ranks host and GPU are one, so no run could count it. With the
optimizer on the host gradients go down in fp32 at the boundary, the new weights come up in 16 bits
(`async_inplace_copy_grad_to_fp32_buffer_from_gpu`, `step`, runtime/zero/stage_1_and_2.py). Sums of several
micro-steps are kept on the host and go up and down again each time: in stage 2 for whole parameters that a
rank has a piece of (`async_accumulate_grad_in_cpu_via_gpu`), in stage 3 for its shards, with one micro-step
too (`partition_grads`, runtime/zero/stage3.py). Parameters on the host come up each time that they are
gathered.
"""

from __future__ import annotations

from typing import NamedTuple

from dsbridge.planner.candidate import NOWHERE, NVME, Candidate
from dsbridge.planner.layout import STAGE1_OFF_HOST, Layout
from dsbridge.planner.states import BYTES, flat, sharded, touched

# read and written on disk for a parameter in Adam's step: master weight and two moments each way, a
# gradient once (`PipelinedOptimizerSwapper`, runtime/swap_tensor/pipelined_optimizer_swapper.py)
SWAPPED = 3 + 3 + 2


class Moves(NamedTuple):
    """Bytes of one rank. once: in a step whatever it has of micro-steps; each: in every micro-step more."""

    once: float
    each: float
    disk_once: float = 0.0
    disk_each: float = 0.0


def moves(layout: Layout, candidate: Candidate, again: tuple[int, ...]) -> Moves:
    """What a rank moves; again: sizes of parameters that stage 3 gathers a second time."""
    if candidate.offload_optimizer == NOWHERE and candidate.offload_param == NOWHERE:
        return Moves(0.0, 0.0)
    low, high = BYTES[layout.dtype], BYTES[layout.masters]
    if layout.stage < 3:
        part = flat(layout.trainable, layout.ranks) // layout.ranks
        sums = layout.stage == 2 or layout.deepspeed < STAGE1_OFF_HOST
        # down in each micro-step, up in each but the first
        whole = touched(layout, 0) if sums and candidate.accumulation > 1 else 0
        return Moves(part * (high + low) - whole * low, 2.0 * whole * low)
    part = sharded(layout.trainable, layout.ranks)
    once = each = disk_once = disk_each = 0.0
    if candidate.offload_optimizer != NOWHERE:
        once, each = float(part * high), 2.0 * part * low
        if candidate.offload_param == NOWHERE:
            once += part * low
        if candidate.offload_optimizer == NVME:
            disk_once = float(SWAPPED * part * high)
    if candidate.offload_param != NOWHERE:
        # packed weights are stored in the model's dtype
        every = (*layout.trainable, *layout.frozen, *layout.packed, *again)
        gathered = float(sharded((n for n in every if n > layout.persistence), layout.ranks) * low)
        each += gathered
        if candidate.offload_param == NVME:
            disk_each = gathered
            disk_once += part * low
    return Moves(once, each, disk_once, disk_each)
