"""What each node must know: its number, and where node 0 is. Who tells it depends on the kind of launch."""

from __future__ import annotations

from dsbridge.launch.script import Joined, Variable, Word
from dsbridge.spec import ParallelSpec
from dsbridge.spec.batch import dims
from dsbridge.values import UNSET

_BY_HAND = "set it to 0 on the first node, 1 on the second, and so on"
_BY_KUBEFLOW = "Kubeflow sets it in the container"
# Slurm's srun(1); Kubeflow Trainer 2.3.0 pkg/runtime/framework/plugins/torch/torch.go:143-168; Training
# Operator 1.9.0 pkg/controller.v1/pytorch/envvar.go:88, master.go:60
_RANKS = {
    "slurm": Variable("SLURM_NODEID", required="srun sets it: submit this script by sbatch"),
    "kubernetes": Variable("PET_NODE_RANK", required=_BY_KUBEFLOW),
}
_ADDRESSES = {
    "slurm": Variable("MASTER_ADDR", required="the sbatch script sets it"),
    "kubernetes": Variable("PET_MASTER_ADDR", required=_BY_KUBEFLOW),
}
_PORTS = {"kubernetes": Variable("PET_MASTER_PORT", required=_BY_KUBEFLOW)}
_IDS = {"slurm": Variable("SLURM_JOB_ID", required="sbatch sets it")}
SCHEDULED = frozenset(_RANKS)  # kinds under which nobody gives a node its number by hand


def node_rank(spec: ParallelSpec) -> Word:
    """This node's number: the scheduler's, or fixed by the spec, or NODE_RANK where the script runs."""
    if spec.launch.kind in _RANKS:
        return _RANKS[str(spec.launch.kind)]
    given = spec.launch.node_rank
    if given is not UNSET:
        return str(given)
    return Variable("NODE_RANK", "0") if dims(spec).nodes == 1 else Variable("NODE_RANK", required=_BY_HAND)


def master_addr(spec: ParallelSpec) -> Word:
    """Node 0's address: the spec's; this machine for one node; else MASTER_ADDR, which must be set."""
    if spec.launch.kind == "kubernetes":
        return _ADDRESSES["kubernetes"]
    given = spec.launch.master_addr
    if given is not UNSET:
        return str(given)
    if spec.launch.kind in _ADDRESSES:
        return _ADDRESSES[str(spec.launch.kind)]
    if spec.launch.hosts:
        return str(spec.launch.hosts[0])
    if dims(spec).nodes == 1:
        return Variable("MASTER_ADDR", "127.0.0.1")
    return Variable("MASTER_ADDR", required="set it to the address of node 0")


def master_port(spec: ParallelSpec) -> Word:
    """Node 0's port: the spec's, else MASTER_PORT, else torchrun's usual 29500."""
    if spec.launch.kind in _PORTS:
        return _PORTS[str(spec.launch.kind)]
    given = spec.launch.master_port
    return Variable("MASTER_PORT", "29500") if given is UNSET else str(given)


def by_rendezvous(spec: ParallelSpec) -> bool:
    """Whether the nodes number themselves: asked for, or needed by what is asked for."""
    launch = spec.launch
    if launch.rendezvous is not UNSET:
        return launch.rendezvous == "c10d"
    return any(one is not UNSET for one in (launch.rendezvous_id, launch.min_nodes, launch.max_nodes))


def endpoint(spec: ParallelSpec) -> Word:
    """Where the nodes meet: an address that all of them reach, node 0's."""
    parts: list[str | Variable] = []
    for part in (master_addr(spec), ":", master_port(spec)):
        parts += part.parts if isinstance(part, Joined) else (part,)
    return Joined(tuple(parts)) if any(isinstance(p, Variable) for p in parts) else "".join(map(str, parts))


def rendezvous_id(spec: ParallelSpec) -> Word:
    """The job's name at the rendezvous: the spec's, Slurm's number, or RDZV_ID."""
    if spec.launch.rendezvous_id is not UNSET:
        return str(spec.launch.rendezvous_id)
    return _IDS.get(str(spec.launch.kind), Variable("RDZV_ID", "dsbridge"))


def elastic(spec: ParallelSpec) -> tuple[int, int] | None:
    """The least and the most nodes, where the spec gives one of them."""
    least, most = spec.launch.min_nodes, spec.launch.max_nodes
    if least is UNSET and most is UNSET:
        return None
    nodes = dims(spec).nodes
    return least or nodes, most or nodes
