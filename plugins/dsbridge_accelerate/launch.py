"""Processes and machines in the YAML, and the `accelerate launch` command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsbridge.rulebook import Setup
from dsbridge.sdk import (
    NO_RAY,
    UNSET,
    RenderRequest,
    Start,
    Word,
    by_rendezvous,
    changed,
    dims,
    master_addr,
    master_port,
    meeting,
    node_rank,
    refused_kind,
)
from dsbridge_accelerate.codes import WORLD_SIZE
from dsbridge_accelerate.section import Section

_READS = "{} does not read Accelerate's YAML, which only `accelerate launch` hands on"
_OTHERS = "it starts {}, and no script of yours"
STARTS = {
    "accelerate": "",
    "torchrun": "",  # accelerate launch is torchrun's own agent
    "slurm": "",
    "kubernetes": "",
    "deepspeed": _READS.format("deepspeed"),
    "llamafactory": _OTHERS.format("LLaMA-Factory"),
    "xtuner": _OTHERS.format("XTuner"),
    "ray": NO_RAY,
}
_SAME_NETWORK = "your YAML says `same_network: true`, under which the nodes meet by address; write false"
_RANKS = {"main_process_ip": "master_addr", "main_process_port": "master_port", "machine_rank": "node_rank"}


def cluster_section(request: RenderRequest) -> Section:
    """num_processes is all ranks; what each node knows for itself comes by flags."""
    spec, layout = request.spec, dims(request.spec)
    section = Section()
    own = request.own()
    kept = layout.world_size is None and "num_processes" in own  # parsed from files that do not count so
    if layout.world_size is None and not kept:
        hint = "Give `cluster.gpus_per_node`."
        section.found.append(WORLD_SIZE("the number of GPUs is not given", hint=hint, key="cluster"))
    if spec.cluster.nodes is not UNSET or "num_machines" not in own:
        section.said["num_machines"] = layout.nodes
    if not kept:
        section.said["num_processes"] = layout.world_size
    given = {key: getattr(spec.launch, name) for key, name in _RANKS.items()}
    if spec.launch.kind == "kubernetes":
        given = {}  # Kubeflow tells each pod
    elif spec.launch.kind == "slurm":
        del given["machine_rank"]
    section.said |= {key: value for key, value in given.items() if value is not UNSET}
    if layout.nodes > 1 and "machine_rank" not in section.said:
        section.removed["machine_rank"] = "each node gives its own, by --machine_rank"
    if by_rendezvous(spec) and layout.nodes > 1:
        section.said |= {"rdzv_backend": "c10d", "same_network": False}
    section.found += refused_kind(request, STARTS, "accelerate launch")
    return section


def make(
    request: RenderRequest, name: str, yaml: Mapping[str, Any], section: Section, notes: list[str]
) -> Start:
    """The command; a flag for what the YAML does not say and every node must."""
    script = str(request.spec.launch.script or "train.py")
    arguments = request.spec.launch.arguments or ()
    return _start(request, name, yaml, section, notes, (script, *arguments))


def _start(
    request: RenderRequest,
    name: str,
    yaml: Mapping[str, Any],
    section: Section,
    notes: list[str],
    program: tuple[str, ...],
) -> Start:
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
    flags, env, says = meeting(spec)
    argv += [flag for flag in flags if flag not in ("--rdzv_backend", "c10d")]  # the YAML says it
    argv += [*section.flags, *program]
    says |= {"launch.script", "launch.arguments"}
    return Start("accelerate launch", tuple(argv), {**section.env, **env}, says, notes=tuple(notes))


def of_files(request: RenderRequest, setup: Setup) -> Start:
    """The user's own YAML and script; what the spec says of the cluster comes by flags, which win."""
    spec, layout = request.spec, dims(request.spec)
    yaml, flags = (setup.trees.get(name) or {} for name in ("yaml", "flags"))
    section = Section()
    if spec.cluster.nodes is not UNSET:
        section.flags += ["--num_machines", str(layout.nodes)]
    if layout.world_size is not None:
        section.flags += ["--num_processes", str(layout.world_size)]
    program = (*setup.words.items, *(spec.launch.arguments or ()))
    config = str(flags.get("config_file") or "")
    if not by_rendezvous(spec):
        return _start(request, config, {}, section, [], program)
    if yaml.get("same_network"):
        # the flag can only switch it on; with it the endpoint is not made (1.15.0 utils/launch.py:220-224)
        launch = changed(spec.launch, rendezvous=UNSET, rendezvous_id=UNSET, min_nodes=UNSET, max_nodes=UNSET)
        static = request._replace(spec=changed(spec, launch=launch))
        found = _start(static, config, {}, section, [], program)
        names = ("launch.rendezvous", "launch.rendezvous_id")
        return found._replace(says=found.says - {*names}, whys=dict.fromkeys(names, _SAME_NETWORK))
    section.flags += ["--rdzv_backend", "c10d"]
    return _start(request, config, {}, section, [], program)
