"""The options of `dsbridge plan` beside those of every command, and what they say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from dsbridge.planner.candidates import Wanted
    from dsbridge.planning.question import Question

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--gpus", type=int, help="GPUs in all."),
    click.option("--nodes", type=int, help="Nodes that they are in; else 8 are in each."),
    click.option(
        "--interconnect",
        metavar="NAME[,NAME]",
        help="Links inside a node and between nodes, as nvlink4,ib-ndr or 4xib-ndr (adapters of a node).",
    ),
    click.option("--host-memory", type=float, metavar="GIB", help="Memory of a node's host."),
    click.option("--nvme", "disk", is_flag=True, help="There are fast disks to offload to."),
    click.option("--method", type=click.Choice(["full", "freeze", "lora", "qlora"]), help="What is trained."),
    click.option("--lora-rank", "rank", type=int, help="LoRA: rank of the adapters; 8 unless given."),
    click.option("--lora-targets", "targets", metavar="NAMES", help="LoRA: q_proj,v_proj, or all-linear."),
    click.option(
        "--lora-dropout", "dropout", type=click.FloatRange(0, 1), help="LoRA: in front of adapters."
    ),
    click.option("--sequence-length", "sequence", type=int, metavar="TOKENS", help="Tokens of a sequence."),
    click.option("--global-batch", type=int, help="Sequences of an optimizer step, over all GPUs."),
    click.option("--dtype", type=click.Choice(["bf16", "fp16", "fp32"]), help="The model's number format."),
    click.option("--attention", type=click.Choice(["flash", "eager"]), help="flash: SDPA too."),
    click.option("--loss", type=click.Choice(["hf", "fused"]), help="fused: Liger, with its other kernels."),
    click.option("--stage", type=click.IntRange(0, 3), help="Only this ZeRO stage."),
    click.option("--tp", type=int, help="Only so many tensor-parallel ranks."),
    click.option("--ulysses", type=int, help="Only so many ranks on a sequence."),
    click.option("--micro-batch", "micro", type=int, help="Only this micro batch of a rank."),
    click.option("--checkpointing/--no-checkpointing", default=None, help="Of activations; else both."),
    click.option("--checkpoint-every", type=click.IntRange(1), metavar="N", help="Only each Nth layer."),
    click.option("--offload-optimizer", type=click.Choice(["none", "cpu", "nvme"]), help="Only so."),
    click.option("--offload-param", type=click.Choice(["none", "cpu", "nvme"]), help="Only so."),
)


def plan_options(function: F) -> F:
    """All of them, in this order."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def question(options: Mapping[str, Any], versions: Mapping[str, str]) -> Question:
    """What the options say of the job.

    Raises:
        InputError: a link nobody knows.
    """
    from dsbridge.planning.links import links
    from dsbridge.planning.question import Question

    intra, inter, adapters = links(options["interconnect"] or "")
    host = options["host_memory"]
    return Question(
        model=options["model"],
        name=options["model"],
        gpus=options["gpus"] if options["gpus"] is not None else options["world_size"],
        nodes=options["nodes"],
        gpu=options["gpu"],
        intra=intra,
        inter=inter,
        adapters=adapters,
        host_memory=round(host * 2**30) if host is not None else None,
        method=options["method"],
        rank=options["rank"],
        dropout=options["dropout"],
        targets=options["targets"],
        sequence=options["sequence"],
        global_batch=options["global_batch"],
        dtype=options["dtype"],
        attention=options["attention"],
        loss=options["loss"],
        deepspeed=versions.get("deepspeed"),
        transformers=versions.get("transformers"),
        peft=versions.get("peft"),
    )


def wanted(options: Mapping[str, Any]) -> Wanted:
    """What the options decide of the layout."""
    from dsbridge.planner.candidate import every
    from dsbridge.planner.candidates import Wanted

    keeping, spacing = options["checkpointing"], options["checkpoint_every"]
    if keeping is False and spacing:
        raise click.UsageError("--no-checkpointing and --checkpoint-every contradict each other")

    def device(name: str) -> str | None:
        found = options[name]
        return "" if found == "none" else found

    return Wanted(
        stage=options["stage"],
        tp=options["tp"],
        ulysses=options["ulysses"],
        micro=options["micro"],
        checkpointing=every(spacing) if spacing else None if keeping is None else every(int(keeping)),
        offload_optimizer=device("offload_optimizer"),
        offload_param=device("offload_param"),
        disk=options["disk"] or "nvme" in (options["offload_optimizer"], options["offload_param"]),
    )
