"""Elements that each rank gives to collectives, by kind and dtype, as DeepSpeed issues them.

Counted on real engines on CPU ranks (`tests/recorded/planner/measured/`) and predicted to the element. The
payload is
the whole tensor: what is reduced, what comes out of an all-gather, what goes into a reduce-scatter or an
all-to-all.
Single elements (norms, overflow flags, sizes) are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from dsbridge.planner.layout import CUTS_HEAD, NEWEST, Layout, Release
from dsbridge.planner.states import flat, lingering, sharded, small

FORWARD, LATER = "forward", "forward, later micro-steps"
NOT_BOUNDARY, BOUNDARY, STEP = "backward, not boundary", "backward, boundary", "step"
PHASES = (FORWARD, LATER, NOT_BOUNDARY, BOUNDARY, STEP)

Moved = dict[str, Counter[tuple[str, str, int]]]  # phase; kind, dtype and ranks of the group: elements


class Gathering(NamedTuple):
    """How stage 3 fetches. again: sizes of the parameters that a micro-step gathers a second time, which
    are none while the model is below `stage3_max_reuse_distance` (`coordinator` plays it through). hpz: ranks
    that share a second copy (`zero_hpz_partition_size`). packed: as again, of the 4-bit weights."""

    again: tuple[int, ...] = ()
    hpz: int = 1
    packed: tuple[int, ...] = ()


class Tokens(NamedTuple):
    """A micro batch through a decoder: `total` tokens of `sequences` sequences, cut by nothing. again: layers
    that run again in the backward pass."""

    total: int
    sequences: int
    hidden: int
    layers: int
    vocabulary: int
    heads: int
    kv_heads: int
    head_size: int
    tied: bool = False
    again: int = 0
    dtype: str = "bfloat16"


def nothing() -> Moved:
    """No collective in any phase."""
    return {phase: Counter() for phase in PHASES}


def together(*parts: Moved) -> Moved:
    """The sum."""
    total = nothing()
    for part in parts:
        for phase, counts in part.items():
            total[phase].update(counts)
    return total


def gradients(layout: Layout, communicated: str, per_owner: bool) -> Moved:
    """Stages 0 to 2. Stage 2 reduces in every micro-step, the others at the boundary.

    Whole buckets are all-reduced, not scattered (`average_tensor`, runtime/zero/stage_1_and_2.py); with
    `use_multi_rank_bucket_allreduce` off each owner's slices are reduced to it. Padding is not sent.
    """
    moved, kind = nothing(), "reduce" if per_owner else "all_reduce"
    total = sum(layout.trainable)
    if layout.kept_in_full:
        # BF16_Optimizer's gradients are one flat buffer, which is reduced padding and all
        total = flat(layout.trainable, layout.ranks)
    moved[BOUNDARY][kind, communicated, layout.ranks] = total
    if layout.stage == 2:
        moved[NOT_BOUNDARY][kind, communicated, layout.ranks] = total
    if not layout.unsharded and layout.ranks > 1:
        moved[STEP]["all_gather", layout.dtype, layout.ranks] = flat(layout.trainable, layout.ranks)
    return moved


def whole(sizes: Iterable[int], layout: Layout) -> int:
    """Elements of the gathered parameters, padding included, without those that are always whole."""
    return layout.ranks * sharded((n for n in sizes if n > layout.persistence), layout.ranks)


def parameters(layout: Layout, communicated: str, gathering: Gathering) -> Moved:
    """Stage 3: gathers before use, a reduce-scatter in every micro-step, small parameters after the step.

    With hpZ a trainable parameter comes from all ranks once a step, and then from the few that share a copy
    (`invalidate_secondary_tensor`, runtime/zero/stage3.py); a frozen one always from those.
    """
    moved, key = nothing(), ("all_gather", layout.dtype, layout.ranks)
    near = ("all_gather", layout.dtype, gathering.hpz) if gathering.hpz > 1 else key
    every = (*layout.trainable, *layout.frozen)
    moved[FORWARD][key] = whole(layout.trainable, layout)
    moved[FORWARD][near] += whole(layout.frozen, layout)
    moved[LATER][near] = whole(every, layout) - whole(lingering(layout), layout)
    scattered = layout.ranks * sharded(layout.trainable, layout.ranks)
    for phase in (NOT_BOUNDARY, BOUNDARY):
        moved[phase]["reduce_scatter", communicated, layout.ranks] = scattered
        moved[phase][near] = whole(gathering.again, layout)
    moved[STEP][key] = small(every, layout)
    if layout.packed:
        _packed(moved, layout, gathering)
    return moved


def _packed(moved: Moved, layout: Layout, gathering: Gathering) -> None:
    """4-bit weights travel like other frozen ones, in the dtype that they are stored in."""
    key = ("all_gather", layout.storage, layout.ranks)
    near = ("all_gather", layout.storage, gathering.hpz) if gathering.hpz > 1 else key
    for phase in (FORWARD, LATER):
        moved[phase][near] += whole(layout.packed, layout)
    for phase in (NOT_BOUNDARY, BOUNDARY):
        moved[phase][near] += whole(gathering.packed, layout)
    moved[STEP][key] += small(layout.packed, layout)


def model_states(layout: Layout, *, per_owner: bool = False, gathering: Gathering | None = None) -> Moved:
    """Collectives over the data-parallel ranks."""
    dtype = layout.communicated or layout.dtype
    if layout.stage == 3:
        return parameters(layout, dtype, gathering or Gathering())
    return gradients(layout, dtype, per_owner)


def tensor_parallel(tokens: Tokens, degree: int, release: Release = NEWEST) -> Moved:
    """AutoTP of DeepSpeed on a decoder with q, k, v, o, gate, up and down projections.

    Two all-reduces a layer forward (o and down), five backward (q, k, v, gate and up each have their own:
    `ColumnParallel.backward`, module_inject/layers.py) and one more when the layer runs again. A head of
    its own
    gathers all logits; one tied to the embedding costs an all-reduce of the embedded tokens and three
    small ones of
    the loss in fp32. Older releases leave head and embedding whole.
    """
    moved, width = nothing(), tokens.total * tokens.hidden
    key, cut = ("all_reduce", tokens.dtype, degree), release >= CUTS_HEAD
    moved[FORWARD][key] = (2 * tokens.layers + (tokens.tied and cut)) * width
    if not cut:
        pass  # head and embedding are whole on every rank
    elif tokens.tied:
        moved[FORWARD]["all_reduce", "float32", degree] = 3 * (tokens.total - tokens.sequences)
    else:
        moved[FORWARD]["all_gather", tokens.dtype, degree] = tokens.total * tokens.vocabulary
    moved[LATER] = Counter(moved[FORWARD])
    for phase in (NOT_BOUNDARY, BOUNDARY):
        moved[phase][key] = (5 * tokens.layers + tokens.again + cut) * width
    return moved


def ulysses(tokens: Tokens, degree: int) -> Moved:
    """Ulysses: four all-to-alls a layer and pass (q, the context, k, v), and the positions of all ranks.

    Heads of keys and values are repeated up to the degree where there are fewer. `UlyssesSPAttentionHF`,
    runtime/sequence_parallel/ulysses_sp.py. `tokens.total` is the whole sequence.
    """
    moved, own = nothing(), tokens.total // degree
    heads = 2 * tokens.heads + 2 * max(tokens.kv_heads, degree)
    exchanged, positions = own * heads * tokens.head_size * tokens.layers, tokens.total * tokens.layers
    key, places = ("all_to_all", tokens.dtype, degree), ("all_gather", "int64", degree)
    moved[FORWARD][key], moved[FORWARD][places] = exchanged, positions
    moved[LATER] = Counter(moved[FORWARD])
    for phase in (NOT_BOUNDARY, BOUNDARY):
        moved[phase][key] = exchanged + exchanged // tokens.layers * tokens.again
        if tokens.again:
            moved[phase][places] = tokens.total * tokens.again
    return moved


def per_step(moved: Moved, accumulation: int) -> Counter[tuple[str, str, int]]:
    """Elements of one optimizer step of so many micro-steps."""
    again = accumulation - 1
    times = {FORWARD: 1, LATER: again, NOT_BOUNDARY: again, BOUNDARY: 1, STEP: 1}
    total: Counter[tuple[str, str, int]] = Counter()
    for phase, counts in moved.items():
        total.update({key: times[phase] * elements for key, elements in counts.items()})
    return +total
