"""How a Trainer script is started."""

from __future__ import annotations

from collections.abc import Mapping

from dsbridge.sdk import (
    UNSET,
    Diagnostic,
    Launch,
    ParallelSpec,
    RenderRequest,
    Variable,
    Word,
    dims,
    make_launch,
    master_addr,
    master_port,
    node_rank,
    torchrun_words,
    unsupported,
)
from dsbridge_trainer import codes

CLAIMED = frozenset(
    {
        "cluster.nodes",
        "cluster.gpus_per_node",
        *(f"launch.{name}" for name in ("kind", "master_addr", "master_port", "node_rank", "script")),
    }
)


def launch(request: RenderRequest, env: Mapping[str, Word]) -> tuple[Launch, list[Diagnostic]]:
    """The launcher of `launch.kind`, torchrun unless another is asked for."""
    spec = request.spec
    script = "train.py" if spec.launch.script is UNSET else str(spec.launch.script)
    notes = [f"{script} is yours: it makes its arguments as train_snippet.py shows"]
    found: list[Diagnostic] = []
    if spec.launch.kind == "accelerate" and dims(spec).world_size == 1:
        words = torchrun_words(spec)
        reason = "for one process it makes no rendezvous, which DeepSpeed needs; torchrun is written"
        found = [unsupported("launch.kind", "accelerate", reason, "Write `launch.kind: torchrun`.")]
    elif spec.launch.kind == "accelerate":
        words = _accelerate_words(spec)
    elif spec.launch.kind == "deepspeed":
        words = _deepspeed_words(spec)
        if dims(spec).nodes > 1:
            notes.append(
                "run it on the first node only; it reaches the others by ssh, as HOSTFILE lists them"
            )
    else:
        words = torchrun_words(spec)
        if spec.launch.kind == "slurm":
            words = slurm(spec, words)
            found, notes = slurm_notes(spec, notes)
    return make_launch(request.header(), env, (*words, script), notes), found


def slurm(spec: ParallelSpec, words: tuple[Word, ...]) -> tuple[Word, ...]:
    """torchrun as one task a node: Slurm then numbers the nodes."""
    if spec.launch.node_rank is not UNSET:
        return words
    at = words.index("--node_rank") + 1
    return (*words[:at], slurm_node(), *words[at + 1 :])


def slurm_node() -> Variable:
    """This node's number, as srun gives it."""
    return Variable("SLURM_NODEID", required="start this script by srun, one task a node")


def slurm_notes(spec: ParallelSpec, notes: list[str]) -> tuple[list[Diagnostic], list[str]]:
    """How the script is started inside an allocation."""
    nodes = dims(spec).nodes
    start = f"srun --nodes={nodes} --ntasks-per-node=1 bash launch.sh"
    found = codes.LAUNCHER(
        "`launch.kind: slurm`: launch.sh is one task a node, and is not itself an sbatch script",
        hint=f"In your allocation: `{start}`; with several nodes set MASTER_ADDR to the first one.",
        key="launch.kind",
    )
    return [found], [*notes, f"in your Slurm allocation: {start}"]


def _accelerate_words(spec: ParallelSpec) -> tuple[Word, ...]:
    """`accelerate launch` by flags alone; precision and DeepSpeed stand in the arguments.

    Without --multi_gpu it starts one process where it sees one GPU, and takes DeepSpeed or FSDP from the
    user's default config (accelerate 1.15.0 commands/launch.py:1220, 1334).
    """
    layout = dims(spec)
    total: Word = (
        Variable("NUM_PROCESSES", required="set it to the number of GPUs of all nodes")
        if layout.world_size is None
        else str(layout.world_size)
    )
    return (
        *(
            "accelerate",
            "launch",
            "--multi_gpu",
            "--num_processes",
            total,
            "--num_machines",
            str(layout.nodes),
        ),
        *("--machine_rank", node_rank(spec)),
        *("--main_process_ip", master_addr(spec), "--main_process_port", master_port(spec)),
        *("--mixed_precision", "no", "--dynamo_backend", "no"),
    )


def _deepspeed_words(spec: ParallelSpec) -> tuple[Word, ...]:
    layout = dims(spec)
    gpus = () if layout.local_world_size is None else ("--num_gpus", str(layout.local_world_size))
    if layout.nodes == 1:
        return ("deepspeed", *gpus, "--master_port", master_port(spec))
    return (
        *("deepspeed", "--hostfile", Variable("HOSTFILE", "hostfile"), "--num_nodes", str(layout.nodes)),
        *gpus,
        *("--master_addr", master_addr(spec), "--master_port", master_port(spec)),
    )
