"""How many bytes a collective puts on the links: rings, over groups that lie in nodes as ranks are
counted."""

from __future__ import annotations

from typing import NamedTuple

from dsbridge.planner.states import BYTES

SIZES = {**BYTES, "int8": 1}
# what each rank of a ring of n sends, in (n - 1) / n of the payload (nccl-tests, doc/PERFORMANCE.md)
TURNS = {"all_reduce": 2, "all_gather": 1, "reduce_scatter": 1, "reduce": 1, "all_to_all": 1}


class Group(NamedTuple):
    """Ranks that communicate: `size` of them, every `stride`-th. Groups are counted from rank 0 of a node
    on."""

    size: int
    stride: int = 1


class Sent(NamedTuple):
    """Bytes that one GPU sends inside its node, and that a node sends to others; members: ranks in a node."""

    inside: float
    between: float
    members: int


def sent(kind: str, dtype: str, elements: int, group: Group, per_node: int) -> Sent:
    """A collective's bytes. Where a group spans nodes, each node has as many rings as there are such groups
    in it, and all of them share its adapters."""
    n = group.size
    if n < 2:
        return Sent(0.0, 0.0, 1)
    members = max(1, min(n, per_node // group.stride))
    payload = float(elements * SIZES[dtype])
    each = TURNS[kind] * (n - 1) / n * payload
    groups = per_node / members
    if members == n:
        return Sent(each, 0.0, members)
    if kind == "all_to_all":
        # no ring: each rank sends to every other, most of them elsewhere
        return Sent((members - 1) / n * payload, groups * members * (n - members) / n * payload, members)
    return Sent(each if members > 1 else 0.0, groups * each, members)
