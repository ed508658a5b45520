"""`xtuner train`, by torchrun (which XTuner starts itself) or by srun."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dsbridge.rulebook import Setup
from dsbridge.sdk import (
    NO_RAY,
    RenderRequest,
    Start,
    Variable,
    Word,
    dims,
    master_addr,
    master_port,
    node_rank,
)
from dsbridge_xtuner.ds import uses_deepspeed

_ITSELF = "`xtuner train` starts torchrun itself"
STARTS = {
    "xtuner": "",
    "torchrun": "",
    "slurm": "",
    "kubernetes": "",
    "accelerate": _ITSELF,
    "deepspeed": _ITSELF,
    "llamafactory": "it starts LLaMA-Factory",
    "ray": NO_RAY,
}
_NOTE = "xtuner train exits with 0 even when training fails (0.2.0 entry_point.py): read its log."
_NO_FLAG = "xtuner 0.2.0 passes nodes, rank, address and port on, and nothing else (entry_point.py:308-320)"
_WHYS = dict.fromkeys(
    [f"launch.{name}" for name in ("rendezvous", "rendezvous_id", "max_restarts", "min_nodes", "max_nodes")],
    _NO_FLAG,
)
_SAYS = frozenset({"launch.master_addr", "launch.master_port", "launch.node_rank"})


def start(request: RenderRequest, config: str, flags: Mapping[str, str], options: Sequence[str]) -> Start:
    """The words behind `xtuner train`, and who starts them. --cfg-options comes last: it takes many words."""
    words: list[str] = []
    if uses_deepspeed(request.spec):
        words += ["--deepspeed", "ds_config.json"]
    for name, value in flags.items():
        words += [name, value]
    if request.spec.launch.kind == "slurm":
        words += ["--launcher", "slurm"]
    if options:
        words += ["--cfg-options", *options]
    return _start(request, (config, *words))


def of_files(request: RenderRequest, setup: Setup) -> Start:
    """A config as it is; what stands behind `--launcher` is the kind's to say."""
    words = list(setup.words.items[2:])
    if "--launcher" in words:
        at = words.index("--launcher")
        del words[at : at + 2]
    if request.spec.launch.kind == "slurm":
        words[1:1] = ["--launcher", "slurm"]
    return _start(request, tuple(words))


def _start(request: RenderRequest, words: Sequence[str]) -> Start:
    slurm = request.spec.launch.kind == "slurm"
    env = {} if slurm else _torchrun(request)
    says = _SAYS - {"launch.node_rank"} if slurm else _SAYS
    static = says | ({"launch.rendezvous"} if request.spec.launch.rendezvous == "static" else set())
    argv = ("xtuner", "train", *words)
    return Start("xtuner train", argv, env, static, notes=(_NOTE,), whys=_WHYS, each_gpu=slurm)


def _torchrun(request: RenderRequest) -> dict[str, Word]:
    """What xtuner 0.2.0 entry_point.py:301-320 reads. It calls torchrun and adds --launcher pytorch."""
    spec, layout = request.spec, dims(request.spec)
    gpus: Word = (
        Variable("NPROC_PER_NODE", required="set it to the number of GPUs of this machine")
        if layout.local_world_size is None
        else str(layout.local_world_size)
    )
    env: dict[str, Word] = {"NPROC_PER_NODE": gpus, "NNODES": str(layout.nodes)}
    if layout.world_size == 1:
        # one process is started without torchrun; DeepSpeed then looks for MPI unless told
        env |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
        return env | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": master_port(spec)}
    return env | {"NODE_RANK": node_rank(spec), "ADDR": master_addr(spec), "PORT": master_port(spec)}
