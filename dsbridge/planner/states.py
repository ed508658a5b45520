"""What each rank holds of parameters, gradients, master weights and optimizer states, in elements, exactly.

Every formula was found in the source named beside it and is tested against engines that ran on CPU ranks
(`tests/recorded/planner/measured/`). Elements include padding; one-element tensors (Adam's step counters,
flags of
overflow) are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from dsbridge.planner import layout as releases
from dsbridge.planner.layout import Layout

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "int64": 8, "int8": 1, "uint8": 1}
INITIALIZED = "initialized"
NOT_BOUNDARY = "after backward, not boundary"
BOUNDARY = "after backward, boundary"
STEPPING = "entering the optimizer's step"
BETWEEN = "between steps"
MOMENTS = (INITIALIZED, NOT_BOUNDARY, BOUNDARY, STEPPING, BETWEEN)
# ZeRO-1 and -2 and BF16_Optimizer start each rank's part at 4 bytes, two elements of 16 bits
# (`nccl_start_alignment_factor`: runtime/zero/stage_1_and_2.py, runtime/bf16_optimizer.py)
ALIGNMENT = 2

Held = dict[str, dict[str, int]]  # part, dtype: elements


def flat(trainable: Iterable[int], ranks: int) -> int:
    """Elements of the flat group of stages 1 and 2: up to a multiple of twice the ranks.

    `flatten_dense_tensors_aligned(..., nccl_start_alignment_factor * world size)`,
    runtime/zero/stage_1_and_2.py.
    Frozen parameters are not in it and are not padded.
    """
    unit = ALIGNMENT * ranks
    return -(-sum(trainable) // unit) * unit


def sharded(sizes: Iterable[int], ranks: int) -> int:
    """Elements a rank holds in stage 3: each parameter by itself, up to a multiple of the ranks.

    `_aligned_size`, runtime/zero/partition_parameters.py.
    """
    return sum(-(-size // ranks) for size in sizes)


def persistent(layout: Layout) -> int:
    """Elements of parameters that stage 3 leaves whole: those below `stage3_param_persistence_threshold`."""
    return small((*layout.trainable, *layout.frozen), layout)


def small(sizes: Iterable[int], layout: Layout) -> int:
    """Elements of those below the threshold, padding included."""
    return layout.ranks * sharded((n for n in sizes if n <= layout.persistence), layout.ranks)


def touched(layout: Layout, rank: int) -> int:
    """Elements of all parameters of which this rank owns a piece: their gradients are kept whole.

    `copy_grads_in_partition` sizes `grads_in_partition` by whole parameters
    (runtime/zero/stage_1_and_2.py). So a
    rank can hold up to two parameters more than its share: an embedding of 1 GB on two ranks.
    """
    part = flat(layout.trainable, layout.ranks) // layout.ranks
    start, total = 0, 0
    for size in in_flat_order(layout):
        if start < (rank + 1) * part and start + size > rank * part:
            total += size
        start += size
    return total


def in_flat_order(layout: Layout) -> list[int]:
    """The trainable parameters as they lie in the flat group: `_round_robin_reorder`, same file."""
    step = layout.ranks if layout.round_robin else 1
    return [size for first in range(step) for size in layout.trainable[first::step]]


def padding(layout: Layout, rank: int) -> int:
    """Elements of this rank's part of the flat group that are no parameter's."""
    part, total = flat(layout.trainable, layout.ranks) // layout.ranks, sum(layout.trainable)
    return min(part, max(0, (rank + 1) * part - total))


def whole(layout: Layout) -> dict[str, Held]:
    """Stage 0: everything on every rank. 16 bits keep fp32 master weights (FP16_UnfusedOptimizer); fp32
    has none."""
    total, half = sum(layout.trainable), layout.dtype != "float32"
    base: Held = {"parameters": {layout.dtype: total + sum(layout.frozen)}}
    if half:
        base["master"] = {"float32": total}
    states: Held = {"states": {"float32": 2 * total}}
    gradients: Held = {"gradients": {layout.dtype: total}}
    stepping: Held = {"master_gradients": {"float32": total}} if half else {}
    steady = {**base, **states}
    return {
        # the unfused optimizer makes its states at once, a bare one in its first step
        INITIALIZED: steady if half else base,
        NOT_BOUNDARY: {**steady, **gradients},
        BOUNDARY: {**steady, **gradients},
        STEPPING: {**steady, **gradients, **stepping},
        BETWEEN: steady if not half or clears(layout) else {**steady, **gradients},
    }


def clears(layout: Layout) -> bool:
    """Are 16-bit gradients gone after the step where they are whole on every rank?"""
    if layout.asks_full_fp32 and layout.unsharded:
        return True
    since = releases.STAGE1_CLEARS if layout.stage else releases.CLEARS_AFTER_STEP
    return layout.deepspeed >= since


def in_full(layout: Layout) -> dict[str, Held]:
    """BF16_Optimizer: sharded master weights and states, and a whole set of fp32 gradients at all times."""
    padded = flat(layout.trainable, layout.ranks)
    base: Held = {
        "parameters": {layout.dtype: padded + sum(layout.frozen)},
        "master": {"float32": padded // layout.ranks},
        "master_gradients": {"float32": padded},
    }
    steady = {**base, "states": {"float32": 2 * padded // layout.ranks}}
    busy = {**steady, "gradients": {layout.dtype: sum(layout.trainable)}}
    after = steady if clears(layout) else busy
    return {INITIALIZED: base, NOT_BOUNDARY: busy, BOUNDARY: busy, STEPPING: busy, BETWEEN: after}


def partitioned(layout: Layout, rank: int) -> dict[str, Held]:
    """Stages 1 and 2: parameters whole, the rest by flat parts."""
    padded = flat(layout.trainable, layout.ranks)
    part = padded // layout.ranks
    base: Held = {
        "parameters": {layout.dtype: padded + sum(layout.frozen)},
        "master": {layout.masters: part},
    }
    steady = {**base, "states": {layout.moments: 2 * part}}
    own = touched(layout, rank)
    if layout.compact:
        boundary = between = {"gradients": {layout.accumulates: part}}
    else:
        boundary = between = {"gradients": {layout.dtype: own + padding(layout, rank)}}
        if layout.deepspeed >= releases.PADS_AT_BOUNDARY:
            between = {"gradients": {layout.dtype: own}}
    not_boundary: Held = between
    if layout.stage == 1:
        # nothing is reduced before the boundary; the bucket is allocated all the same (`setup_buckets`)
        buckets = (1 + layout.overlap) * layout.bucket if layout.contiguous else 0
        not_boundary = {"gradients": {layout.dtype: sum(layout.trainable)}}
        if buckets:
            not_boundary["buckets"] = {layout.dtype: buckets}
    return {
        INITIALIZED: base,
        NOT_BOUNDARY: {**steady, **not_boundary},
        BOUNDARY: {**steady, **boundary},
        STEPPING: {**steady, "master_gradients": {layout.masters: part}},
        BETWEEN: steady,
    }


def sharded_parameters(layout: Layout) -> dict[str, Held]:
    """Stage 3: all by parameter. The bucket and the gradients' buffer live as long as the engine does."""
    part = sharded(layout.trainable, layout.ranks)
    base: Held = {
        "parameters": {layout.dtype: part + sharded(layout.frozen, layout.ranks)},
        "master": {layout.masters: part},
        "gradients": {layout.accumulates: part},
    }
    if layout.contiguous:
        base["buckets"] = {layout.communicated or layout.dtype: layout.bucket}
    steady: Held = {**base, "states": {layout.moments: 2 * part}}
    after = {**steady, **gathered(layout)}
    busy = {**steady, **gathered(layout, sum(lingering(layout)))}
    upcast = largest_sub_group(layout)
    if layout.offload_optimizer:
        for parts in (base, steady, after, busy):
            parts["master_gradients"] = {layout.masters: part}
        upcast = part
    return {
        INITIALIZED: base,
        NOT_BOUNDARY: busy,
        BOUNDARY: busy,
        STEPPING: {**steady, "master_gradients": {layout.masters: upcast}},
        BETWEEN: after,
    }


def gathered(layout: Layout, more: int = 0) -> Held:
    """What stage 3 has whole when no module runs."""
    kept = Counter({layout.dtype: persistent(layout) + more})
    kept[layout.storage] += small(layout.packed, layout)
    return {"gathered": dict(+kept)} if +kept else {}


def lingering(layout: Layout) -> tuple[int, ...]:
    """Parameters that stage 3 of older releases leaves gathered from the backward pass to the step."""
    if layout.deepspeed >= releases.RELEASES_FIRST:
        return ()
    return tuple(n for n in layout.first if n > layout.persistence)


def largest_sub_group(layout: Layout) -> int:
    """Elements of the largest sub-group of stage 3's step, which upcasts the gradients of one at a time.

    `_create_fp16_sub_groups`, runtime/zero/stage3.py: a group closes with the parameter that reaches
    `sub_group_size`, counted in elements of this rank.
    """
    groups, own = [], 0
    for size in layout.trainable:
        own += -(-size // layout.ranks)
        if own >= layout.sub_group:
            groups.append(own)
            own = 0
    return max((*groups, own))


def offloaded(layout: Layout, rank: int) -> dict[str, Held]:
    """Stages 1 and 2 with the optimizer on the host.

    Beside master weights and states the host holds fp32 gradients at all times, a 16-bit copy of the
    rank's part and a
    buffer as large as the largest parameter; the GPU holds another such buffer
    (`temp_grad_buffer_for_gpu_offload`,
    runtime/zero/stage_1_and_2.py). With accumulation, stage 2 sums on the host in whole parameters.
    """
    part, largest = flat(layout.trainable, layout.ranks) // layout.ranks, max(layout.trainable)
    copy = part if layout.deepspeed >= releases.COPY_ON_HOST else 0
    always: Held = {
        "master_gradients": {layout.masters: part},
        "offload_buffers": {layout.dtype: copy + 2 * largest},
    }
    on_host = layout.stage == 2 or layout.deepspeed < releases.STAGE1_OFF_HOST
    sums = touched(layout, rank) if on_host and layout.accumulation > 1 else 0
    found = {}
    for moment, parts in partitioned(layout, rank).items():
        kept = {name: held for name, held in parts.items() if name != "gradients"}
        whole_ones = sum(layout.trainable) if layout.stage == 1 and moment == NOT_BOUNDARY else 0
        gradients = whole_ones + (sums if moment != INITIALIZED else 0)
        found[moment] = {**kept, **always}
        if gradients:
            found[moment]["gradients"] = {layout.dtype: gradients}
    return found


def packed(layout: Layout) -> int:
    """Elements of packed weights on a rank: stage 3 splits them like any other parameter. Their scales are no
    parameters and stay whole."""
    return sharded(layout.packed, layout.ranks) if layout.stage == 3 else sum(layout.packed)


def held(layout: Layout, rank: int = 0) -> dict[str, Held]:
    """Moment to part to dtype to elements, on one rank, GPU and host together."""
    found, own = _held(layout, rank), packed(layout)
    if not own:
        return found
    return {
        moment: {**parts, "parameters": dict(Counter(parts["parameters"]) + Counter({layout.storage: own}))}
        for moment, parts in found.items()
    }


def _held(layout: Layout, rank: int) -> dict[str, Held]:
    if layout.unsharded:
        return whole(layout)
    if layout.kept_in_full:
        return in_full(layout)
    if layout.stage == 3:
        return sharded_parameters(layout)
    return offloaded(layout, rank) if layout.offload_optimizer else partitioned(layout, rank)


def size(parts: Held) -> int:
    """Bytes."""
    return sum(BYTES[dtype] * elements for part in parts.values() for dtype, elements in part.items())
