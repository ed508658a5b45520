"""ZeRO++'s quantised collectives, from the source of DeepSpeed. No engine ran them here: they need a GPU.

Weights (`zero_quantized_weights`): each gather moves int8, and an fp32 scale for up to 8000 elements
(`CUDAQuantizer`, runtime/zero/partition_parameters.py). Gradients (`zero_quantized_gradients`): matrices
go through two all-to-alls of 4-bit numbers, inside the node and then between nodes; vectors, and
matrices that do not divide by twice the ranks, are reduced and scattered as ever
(`all_to_all_quant_reduce`, runtime/comm/coalesced_collectives.py). The scales of those are left out;
there is one for each row at most.
"""

from __future__ import annotations

from collections import Counter

from dsbridge.planner.layout import Layout
from dsbridge.planner.states import sharded
from dsbridge.planner.traffic import BOUNDARY, FORWARD, LATER, NOT_BOUNDARY, Moved

GROUP = 8000
NODE, NODES = "node", "nodes"


def weights(moved: Moved, layout: Layout) -> Moved:
    """Gathers in int8; what is gathered after the step stays as it is."""
    found = {phase: Counter(counts) for phase, counts in moved.items()}
    for phase in (FORWARD, LATER, NOT_BOUNDARY, BOUNDARY):
        for kind, dtype, ranks in list(found[phase]):
            if kind == "all_gather" and dtype == layout.dtype:
                elements = found[phase].pop((kind, dtype, ranks))
                found[phase][kind, "int8", ranks] += elements
                found[phase][kind, "float32", ranks] += -(-elements // GROUP)
    return found


def gradients(moved: Moved, layout: Layout, vectors: int, per_node: int) -> tuple[Moved, int, int]:
    """Without what is quantised, and bytes of that in the all-to-all of a node and between nodes.

    vectors: the largest size that a parameter of one dimension has.
    """
    matrices = [n for n in layout.trainable if n > vectors and n % (2 * layout.ranks) == 0]
    whole = layout.ranks * sharded(matrices, layout.ranks)
    found = {phase: Counter(counts) for phase, counts in moved.items()}
    for phase in (NOT_BOUNDARY, BOUNDARY):
        for key in [key for key in found[phase] if key[0] == "reduce_scatter"]:
            found[phase][key] -= whole
    return found, whole // 2, whole // 2 // per_node
