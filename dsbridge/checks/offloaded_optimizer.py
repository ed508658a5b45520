"""Offload makes DeepSpeed's CPU Adam of the optimizer that was asked for, whichever it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.rules import Evidence
from dsbridge.subjects.contract import Check, Example
from dsbridge.subjects.subject import Subject
from dsbridge.subjects.zero import ZERO, device, said

REPLACED = Code(
    "CK306",
    "optimizer-becomes-cpu-adam",
    Severity.WARNING,
    "Offload replaces the optimizer that was asked for.",
)

# TrainingArguments.optim: those that are Adam or AdamW with states of 32 bits, and so what the CPU Adam is.
_SAME = ("adam", "adamw", "paged_adamw", "adamw_apex_fused", "adamw_anyprecision", "paged_adamw_32bit")
_BITS = ("8bit", "4bit")


def _run(subject: Subject) -> Iterator[Diagnostic]:
    where = device(subject, "offload_optimizer")
    if where == "none" or _made(subject) != "deepspeed.DeepSpeedCPUAdam":
        return
    name, path = _asked(subject)
    if not name or name in _SAME or (name.startswith(("adamw_torch", "adamw_hf")) and "bit" not in name):
        return
    block = said(subject, f"{ZERO}.offload_optimizer") or said(subject, f"{ZERO}.offload_optimizer.device")
    if any(bits in name for bits in _BITS) and "adam" in name:
        effect = "with states of 32 bits on the host, and weight decay as an L2 penalty (adamw_mode=False)"
    else:
        effect = "another algorithm, with its own two states of 32 bits"
    yield REPLACED(
        f"{name} is asked for and its states go to {where}: Accelerate gives DeepSpeed a DeepSpeedCPUAdam "
        f"instead, {effect}",
        hint="Ask for adamw_torch, which is what DeepSpeedCPUAdam computes, or turn the offload off to keep "
        f"{name}.",
        key=path.removeprefix("args.") if subject.at(path) or not block else block.key,
        at=subject.at(path) or (block.at if block else None),
    )


def _made(subject: Subject) -> str:
    trees = subject.explanation.result.trees if subject.explanation else {}
    made = trees.get("made")
    return str(made.get("optimizer")) if isinstance(made, Mapping) else ""


def _asked(subject: Subject) -> tuple[str, str]:
    """The optimizer by the name that the user gave, and where; "" where DeepSpeed's own config names it."""
    if subject.written("optimizer.type") or subject.explanation is None:
        return "", ""
    name = subject.tree("args.optim")
    if isinstance(name, str):
        return name, "args.optim"
    kind = subject.tree("prepared.optimizer.class")
    if isinstance(kind, str) and kind.rpartition(".")[2] not in ("Adam", "AdamW", "DeepSpeedCPUAdam"):
        return kind, "prepared.optimizer.class"
    return "", ""


_DS = """{"zero_optimization": {"stage": 2, "offload_optimizer": {"device": "cpu"}},
 "bf16": {"enabled": "auto"}, "train_micro_batch_size_per_gpu": "auto"}"""
_RUN = "torchrun --nproc_per_node 2 train.py --output_dir out --deepspeed ds.json --bf16 true --optim %s"

CHECKS = (
    Check(
        code=REPLACED,
        run=_run,
        why="The job trains with another optimizer than its arguments and its log name.",
        hint="With offload ask for AdamW, or write an optimizer block in the DeepSpeed config.",
        fires=Example({"ds.json": _DS}, _RUN % "paged_adamw_8bit"),
        holds=Example({"ds.json": _DS}, _RUN % "adamw_torch"),
        evidence=(
            Evidence(
                "accelerate",
                "1.15.0",
                "accelerator.py",
                "2383",
                "optimizer = map_pytorch_optim_to_deepspeed(optimizer)",
                "accelerate/optimizer/sgd-offload",
            ),
            Evidence(
                "accelerate",
                "1.15.0",
                "utils/deepspeed.py",
                "47-60",
                'defaults["adamw_mode"] = False',
                "",
            ),
        ),
        pains=(22,),
    ),
)
