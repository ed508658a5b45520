"""Processes and machines in the YAML, and the `accelerate launch` command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsbridge.sdk import (
    UNSET,
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
from dsbridge_accelerate.codes import WORLD_SIZE
from dsbridge_accelerate.section import Section

_KINDS = {
    "deepspeed": ("`accelerate launch` starts the processes itself", "Remove `launch.kind`."),
    "slurm": (
        "launch.sh is one `accelerate launch` a node",
        "srun --ntasks-per-node=1 bash -c 'NODE_RANK=$SLURM_NODEID bash launch.sh'",
    ),
}


def cluster_section(request: RenderRequest) -> Section:
    """num_processes is all ranks; what each node knows for itself comes by flags."""
    spec, layout = request.spec, dims(request.spec)
    section = Section(
        claimed={f"launch.{name}" for name in ("master_addr", "master_port", "node_rank", "script", "kind")}
        | {"cluster.nodes", "cluster.gpus_per_node"}
    )
    own = request.own()
    kept = layout.world_size is None and "num_processes" in own  # parsed from files that do not count so
    if layout.world_size is None and not kept:
        hint = "Give `cluster.gpus_per_node`."
        section.found.append(WORLD_SIZE("the number of GPUs is not given", hint=hint, key="cluster"))
    if spec.cluster.nodes is not UNSET or "num_machines" not in own:
        section.said["num_machines"] = layout.nodes
    if not kept:
        section.said["num_processes"] = layout.world_size
    given = {
        "machine_rank": spec.launch.node_rank,
        "main_process_ip": spec.launch.master_addr,
        "main_process_port": spec.launch.master_port,
    }
    section.said |= {key: value for key, value in given.items() if value is not UNSET}
    if layout.nodes > 1 and spec.launch.node_rank is UNSET:
        section.removed["machine_rank"] = "each node gives its own, by --machine_rank"
    kind = spec.launch.kind
    if kind in _KINDS:
        section.found.append(unsupported("launch.kind", kind, *_KINDS[str(kind)]))
    return section


def make(
    request: RenderRequest, name: str, yaml: Mapping[str, Any], section: Section, notes: list[str]
) -> Launch:
    """The command; a flag for what the YAML does not say and every node must."""
    spec = request.spec
    argv: list[Word] = ["accelerate", "launch", "--config_file", name]
    if dims(spec).nodes > 1:
        words = {
            "machine_rank": node_rank(spec),
            "main_process_ip": master_addr(spec),
            "main_process_port": master_port(spec),
        }
        for key, word in words.items():
            if key not in yaml:
                argv += [f"--{key}", word]
    argv += [*section.flags, str(spec.launch.script or "train.py")]
    return make_launch(request.header(), section.env, argv, notes)
