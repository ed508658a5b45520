"""`llamafactory-cli train`, which starts torchrun from its environment (0.9.5 launcher.py:57-125)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from dsbridge.sdk import (
    UNSET,
    Diagnostic,
    Launch,
    RenderRequest,
    Word,
    dims,
    make_launch,
    master_addr,
    master_port,
    node_rank,
    unsupported,
)
from dsbridge_trainer.launch import slurm_node, slurm_notes

NONE: Mapping[str, Word] = MappingProxyType({})


def launch(
    request: RenderRequest, training_file: str, command: str = "train", switches: Mapping[str, Word] = NONE
) -> tuple[Launch, list[Diagnostic]]:
    """One process a GPU on each node; the same script runs on every node.

    switches: variables of a dialect.
    """
    spec, layout = request.spec, dims(request.spec)
    kind = spec.launch.kind
    found: list[Diagnostic] = []
    notes: list[str] = []
    if kind == "slurm":
        found, notes = slurm_notes(spec, notes)
    elif kind not in (UNSET, "torchrun"):
        reason = "llamafactory-cli starts torchrun itself; launch.sh does it so"
        found.append(unsupported("launch.kind", kind, reason, "Write torchrun or slurm."))
    rank: Word = slurm_node() if kind == "slurm" and spec.launch.node_rank is UNSET else node_rank(spec)
    env: dict[str, Word] = {**switches, "FORCE_TORCHRUN": "1", "NNODES": str(layout.nodes), "NODE_RANK": rank}
    if layout.local_world_size is not None:
        env["NPROC_PER_NODE"] = str(layout.local_world_size)
    env |= {"MASTER_ADDR": master_addr(spec), "MASTER_PORT": master_port(spec)}
    return make_launch(request.header(), env, ("llamafactory-cli", command, training_file), notes), found
