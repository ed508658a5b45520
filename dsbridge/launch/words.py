"""The words of launchers that belong to no framework: torchrun and deepspeed."""

from __future__ import annotations

from typing import NamedTuple

from dsbridge.launch.nodes import (
    by_rendezvous,
    elastic,
    endpoint,
    master_addr,
    master_port,
    node_rank,
    rendezvous_id,
)
from dsbridge.launch.script import Variable, Word
from dsbridge.spec import ParallelSpec
from dsbridge.spec.batch import dims
from dsbridge.values import UNSET

STATIC = frozenset(("launch.master_addr", "launch.master_port", "launch.node_rank", "launch.max_restarts"))
RENDEZVOUS = frozenset(
    f"launch.{name}"
    for name in (
        *("rendezvous", "rendezvous_id", "max_restarts", "min_nodes", "max_nodes"),
        *("master_addr", "master_port"),
    )
)
HOSTFILE, EXPORTED = "hostfile", ".deepspeed_env"
_BY_SSH = "run it on the first node only; it reaches the others by ssh, as {} them"
_EACH_NODE = "run it on every node; the names in the hostfile only count the nodes"


class Words(NamedTuple):
    """The words before the program, the spec's paths that they say, and files beside the script."""

    argv: tuple[Word, ...]
    says: frozenset[str]
    files: dict[str, str]
    notes: tuple[str, ...] = ()


def torchrun_words(spec: ParallelSpec) -> tuple[Word, ...]:
    """`torchrun` with the layout of the spec; `gpu` means all GPUs of the machine."""
    return torchrun(spec).argv


def torchrun(spec: ParallelSpec) -> Words:
    """Every node with its number, or a rendezvous at which the nodes number themselves.

    torch 2.13 distributed/run.py:840-905: under another backend than static, node rank and master address
    are not read.
    """
    layout = dims(spec)
    gpus = "gpu" if layout.local_world_size is None else str(layout.local_world_size)
    restarts = spec.launch.max_restarts
    again = () if restarts is UNSET else ("--max_restarts", str(restarts))
    if not by_rendezvous(spec):
        argv: tuple[Word, ...] = (
            *("torchrun", "--nnodes", str(layout.nodes), "--node_rank", node_rank(spec)),
            *("--nproc_per_node", gpus),
            *("--master_addr", master_addr(spec), "--master_port", master_port(spec), *again),
        )
        return Words(argv, STATIC | {"launch.rendezvous"}, {})
    span = elastic(spec)
    nodes = str(layout.nodes) if span is None else f"{span[0]}:{span[1]}"
    argv = (
        *("torchrun", "--nnodes", nodes, "--nproc_per_node", gpus),
        *("--rdzv_backend", "c10d", "--rdzv_endpoint", endpoint(spec)),
        *("--rdzv_id", rendezvous_id(spec), *again),
    )
    return Words(argv, RENDEZVOUS, {})


def meeting(spec: ParallelSpec) -> tuple[list[Word], dict[str, Word], frozenset[str]]:
    """How the nodes of `accelerate launch` meet: flags, variables, and what of the spec they say.

    It makes its arguments with torchrun's own parser, which reads PET_RDZV_ID; the endpoint is made of ip and
    port where `same_network` is off (accelerate 1.15.0 utils/launch.py:216-224, commands/launch.py:1021).
    """
    flags: list[Word] = []
    env: dict[str, Word] = {}
    says = {f"launch.{name}" for name in ("master_addr", "master_port", "node_rank")}
    if not by_rendezvous(spec):
        says.add("launch.rendezvous")
    elif dims(spec).nodes > 1:
        says.add("launch.rendezvous")
        flags += ["--rdzv_backend", "c10d"]
        env["PET_RDZV_ID"] = rendezvous_id(spec)
        says.add("launch.rendezvous_id")
    if spec.launch.max_restarts is not UNSET:
        flags += ["--max_restarts", str(spec.launch.max_restarts)]
        says.add("launch.max_restarts")
    return flags, env, frozenset(says)


def deepspeed(spec: ParallelSpec) -> Words:
    """DeepSpeed's own launcher: over ssh where the nodes have names, else started on each node.

    deepspeed 0.16.2 launcher/runner.py:157 and 519-534: with --no_ssh the names of the hostfile only count
    the nodes, and --node_rank chooses.
    """
    layout = dims(spec)
    gpus = () if layout.local_world_size is None else ("--num_gpus", str(layout.local_world_size))
    port: tuple[Word, ...] = ("--master_port", master_port(spec))
    if layout.nodes == 1:
        return Words(("deepspeed", *gpus, *port), frozenset({"launch.master_port"}), {})
    where: tuple[Word, ...] = ("--master_addr", master_addr(spec), *port)
    counts: tuple[Word, ...] = ("--num_nodes", str(layout.nodes), *gpus)
    says = frozenset({"launch.master_addr", "launch.master_port"})
    if layout.local_world_size is None:  # a hostfile counts the GPUs of each node
        start: tuple[Word, ...] = ("deepspeed", "--hostfile", Variable("HOSTFILE", HOSTFILE))
        return Words((*start, *counts, *where), says, {}, (_BY_SSH.format("HOSTFILE lists"),))
    start = ("deepspeed", "--hostfile", HOSTFILE)
    if spec.launch.hosts:
        files = {HOSTFILE: _hostfile([str(host) for host in spec.launch.hosts], layout.local_world_size)}
        notes = (_BY_SSH.format("the hostfile lists"),)
        return Words((*start, *counts, *where), says | {"launch.hosts"}, files, notes)
    each: tuple[Word, ...] = ("--no_ssh", "--node_rank", node_rank(spec))
    files = {HOSTFILE: _hostfile([f"node{n}" for n in range(layout.nodes)], layout.local_world_size)}
    return Words((*start, *each, *counts, *where), says | {"launch.node_rank"}, files, (_EACH_NODE,))


def _hostfile(names: list[str], slots: int) -> str:
    return "".join(f"{name} slots={slots}\n" for name in names)
