"""`xtuner train`, by torchrun (which XTuner starts itself) or by srun."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dsbridge.sdk import (
    UNSET,
    Launch,
    RenderRequest,
    Variable,
    Word,
    dims,
    make_launch,
    master_addr,
    master_port,
    node_rank,
)
from dsbridge_xtuner.ds import uses_deepspeed

_NOTE = "xtuner train exits with 0 even when training fails (0.2.0 entry_point.py): read its log."


def launch(request: RenderRequest, config: str, flags: Mapping[str, str], options: Sequence[str]) -> Launch:
    """The words behind `xtuner train`, and who starts them. --cfg-options comes last: it takes many words."""
    words: list[Word] = ["xtuner", "train", config]
    if uses_deepspeed(request.spec):
        words += ["--deepspeed", "ds_config.json"]
    for name, value in flags.items():
        words += [name, value]
    slurm = request.spec.launch.kind == "slurm"
    if slurm:
        words += ["--launcher", "slurm"]
    if options:
        words += ["--cfg-options", *options]
    env, before = _slurm(request) if slurm else (_torchrun(request), [])
    return make_launch(request.header(), env, [*before, *words], [_NOTE])


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


def _slurm(request: RenderRequest) -> tuple[dict[str, Word], list[Word]]:
    """One task a GPU; mmengine 0.10.6 dist/utils.py:175 takes rank and address from SLURM."""
    spec, layout = request.spec, dims(request.spec)
    env: dict[str, Word] = {}
    if spec.launch.master_addr is not UNSET:
        env["MASTER_ADDR"] = str(spec.launch.master_addr)
    env["MASTER_PORT"] = master_port(spec)
    gpus: Word = (
        Variable("GPUS_PER_NODE", required="set it to the number of GPUs of a node")
        if layout.local_world_size is None
        else str(layout.local_world_size)
    )
    words: list[Word] = ["srun", "--kill-on-bad-exit=1", "--nodes", str(layout.nodes)]
    return env, [*words, "--ntasks-per-node", gpus, "--gpus-per-node", gpus]
