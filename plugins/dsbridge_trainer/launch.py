"""How a Trainer script is started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dsbridge.sdk import (
    NO_RAY,
    UNSET,
    ParallelSpec,
    RenderRequest,
    Start,
    Variable,
    Word,
    deepspeed_launcher,
    dims,
    master_addr,
    master_port,
    meeting,
    node_rank,
    torchrun,
)

_OTHERS = "it starts {}, and no script of yours"
STARTS = {
    "torchrun": "",
    "accelerate": "",
    "deepspeed": "",
    "slurm": "",
    "kubernetes": "",
    "llamafactory": _OTHERS.format("LLaMA-Factory"),
    "xtuner": _OTHERS.format("XTuner"),
    "ray": NO_RAY,
}
ONE_PROCESS = "for one process it makes no rendezvous, which DeepSpeed needs; torchrun is written"


def alone(spec: ParallelSpec) -> bool:
    """Whether `accelerate launch` would start one process, without torchrun."""
    return spec.launch.kind == "accelerate" and dims(spec).world_size == 1


def start(request: RenderRequest, env: Mapping[str, Word], words: Sequence[str] = ()) -> Start:
    """The launcher of `launch.kind`, torchrun unless another is asked for.

    words: a script that is launched as it is, with its arguments.
    """
    spec = request.spec
    script = tuple(words) or ("train.py" if spec.launch.script is UNSET else str(spec.launch.script),)
    notes = [] if words else [f"{script[0]} is yours: it makes its arguments as train_snippet.py shows"]
    more = spec.launch.arguments or ()
    says = frozenset({"launch.script", "launch.arguments"})
    if spec.launch.kind == "accelerate" and not alone(spec):
        argv, variables, said = accelerate_words(spec)
        return Start(
            "accelerate launch",
            (*argv, *script, *more),
            {**env, **variables},
            said | says,
            notes=tuple(notes),
        )
    with_deepspeed = spec.launch.kind == "deepspeed"
    made = (deepspeed_launcher if with_deepspeed else torchrun)(spec)
    return Start(
        "deepspeed" if with_deepspeed else "torchrun",
        (*made.argv, *script, *more),
        env,
        made.says | says,
        made.files,
        (*notes, *made.notes),
    )


def accelerate_words(spec: ParallelSpec) -> tuple[tuple[Word, ...], dict[str, Word], frozenset[str]]:
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
    flags, env, says = meeting(spec)
    argv: tuple[Word, ...] = (
        *("accelerate", "launch", "--multi_gpu", "--num_processes", total),
        *("--num_machines", str(layout.nodes), "--machine_rank", node_rank(spec)),
        *("--main_process_ip", master_addr(spec), "--main_process_port", master_port(spec)),
        *flags,
        *("--mixed_precision", "no", "--dynamo_backend", "no"),
    )
    return argv, env, says
