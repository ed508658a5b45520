"""Blocks that were left in a config: the autotuner's, which ends the run, and the universal checkpoint's."""

from __future__ import annotations

from collections.abc import Iterator

from dsbridge.deepspeed.autotp import does, since
from dsbridge.diagnostics import Code, Diagnostic, Fix, Severity
from dsbridge.rules import Evidence
from dsbridge.subjects.contract import Check, Example, in_deepspeed
from dsbridge.subjects.subject import Subject
from dsbridge.subjects.tensor import degree
from dsbridge.subjects.zero import said, whole
from dsbridge.values import UNSET

TUNING = Code(
    "CK350", "autotuning-ends-the-run", Severity.ERROR, "Autotuning ends the training after a few steps."
)
UNIVERSAL = Code(
    "CK360", "universal-checkpoint", Severity.INFO, "Only a converted checkpoint can be resumed."
)

SPLIT = Code(
    "CK361", "universal-of-autotp", Severity.WARNING, "This DeepSpeed cannot convert a checkpoint of AutoTP."
)

_LAST = 5  # autotuning.end_profile_step's default


def _tuning(subject: Subject) -> Iterator[Diagnostic]:
    found = said(subject, "autotuning")
    if found is None or subject.written("autotuning.enabled") is not True:
        return
    words = subject.input.setup.whole if subject.input else ()
    if any(word.startswith("--autotuning") for word in words):
        return
    last = whole(subject.written("autotuning.end_profile_step"))
    steps = (_LAST if last is None else last) + 1
    known = subject.input is not None
    yield TUNING(
        f"autotuning is enabled, and DeepSpeed ends the process after {steps} steps with exit code 0, as in "
        "the autotuner's trials" + ("" if known else ", unless `deepspeed --autotuning` runs it"),
        hint="Remove the autotuning block to train.",
        key="autotuning.enabled",
        at=subject.ds.at(("autotuning", "enabled")) if subject.ds else found.at,
        severity=Severity.ERROR if known else Severity.INFO,
        fix=Fix("remove the autotuning block", found.edits) if known and found.edits else None,
    )


def _universal(subject: Subject) -> Iterator[Diagnostic]:
    found = said(subject, "checkpoint.load_universal")
    if found is None or found.value is not True:
        return
    resumed = subject.tree("args.resume_from_checkpoint")
    if subject.framework in ("trainer", "llamafactory") and resumed in (UNSET, None, "", False):
        what = "nothing is resumed here, so it does nothing"
    else:
        what = (
            "whoever resumes needs a converted checkpoint: without a file `latest_universal` DeepSpeed stops "
            "with ValueError: Invalid for universal checkpoint"
        )
    yield UNIVERSAL(
        f"checkpoint.load_universal: {what}",
        hint="Convert it first: python -m deepspeed.checkpoint.ds_to_universal --input_folder "
        "CHECKPOINT/global_stepN --output_folder CHECKPOINT/global_stepN_universal --inject_missing_state; "
        "set load_universal only to resume.",
        key=found.key,
        at=found.at,
    )


def _split(subject: Subject) -> Iterator[Diagnostic]:
    """From `marks_universal` on the checkpoint says which weights are split, and along which dimension."""
    found, size = said(subject, "checkpoint.load_universal"), degree(subject)
    if found is None or found.value is not True or size < 2 or not does("reads_block", subject.version):
        return
    if does("marks_universal", subject.version):
        return
    yield SPLIT(
        f"checkpoint.load_universal with autotp_size {size}: a checkpoint of DeepSpeed {subject.version} "
        "does not say how AutoTP split the weights, so ds_to_universal stops (universal_checkpoint_info is "
        "missing); with --inject_missing_state it joins every weight along its first dimension, also those "
        "that were split along the second or not at all",
        hint=f"Take DeepSpeed {since('marks_universal')} or newer; or resume with the same autotp_size and "
        "ranks, without load_universal.",
        key=found.key,
        at=found.at,
    )


_DS = """{"zero_optimization": {"stage": 2}, "bf16": {"enabled": "auto"}, %s,
 "train_micro_batch_size_per_gpu": "auto"}"""
_RUN = "torchrun --nproc_per_node 2 train.py --output_dir out --deepspeed ds.json --bf16 true"
_TUNE = '"autotuning": {"enabled": %s}'
_TP = """{"zero_optimization": {"stage": 1}, "tensor_parallel": {"autotp_size": 2},
 "bf16": {"enabled": "auto"}, "checkpoint": {"load_universal": true},
 "train_micro_batch_size_per_gpu": "auto"}"""
_FOUR = _RUN.replace("2 train.py", "4 train.py")
_LOAD = '"checkpoint": {"load_universal": %s}'

CHECKS = (
    Check(
        code=TUNING,
        run=_tuning,
        why="The job ends in minutes as if it had succeeded; nothing is saved.",
        hint="The block is for `deepspeed --autotuning`, which runs trials.",
        fires=Example({"ds.json": _DS % (_TUNE % "true")}, _RUN),
        holds=Example({"ds.json": _DS % (_TUNE % "false")}, _RUN),
        evidence=(
            in_deepspeed(
                "runtime/engine.py",
                "3657",
                "if self.autotuning_enabled() and self.global_steps == (self.autotuning_end_profile_step() + "
                "1):",
            ),
        ),
    ),
    Check(
        code=UNIVERSAL,
        run=_universal,
        why="The run stops when it resumes from a checkpoint that was not converted.",
        hint="Convert with ds_to_universal, resume, and take the key out again.",
        fires=Example({"ds.json": _DS % (_LOAD % "true")}, _RUN),
        holds=Example({"ds.json": _DS % (_LOAD % "false")}, _RUN),
        evidence=(
            in_deepspeed(
                "runtime/engine.py",
                "4435",
                "raise ValueError(f'Invalid for universal checkpoint: {latest_path} does not exist')",
            ),
        ),
        pains=(9,),
    ),
    Check(
        code=SPLIT,
        run=_split,
        why="By the sources of 0.16.4 to 0.18.8: the weights that are loaded are not those that were saved.",
        hint="The checkpoint must say how it was split.",
        fires=Example({"ds.json": _TP}, _FOUR, versions={"deepspeed": "0.18.4"}),
        holds=Example({"ds.json": _TP}, _FOUR, versions={"deepspeed": "0.18.9"}),
        evidence=(
            Evidence(
                "deepspeed",
                "0.18.4",
                "checkpoint/ds_to_universal.py",
                "466",
                "Required {UNIVERSAL_CHECKPOINT_INFO} state is missing in checkpoint.",
                "",
            ),
            Evidence(
                "deepspeed",
                "0.18.4",
                "checkpoint/ds_to_universal.py",
                "318",
                "cat_dim = 1 if get_matched_pattern(parameters_with_row_parallelism, name) else 0",
                "",
            ),
        ),
        pains=(9,),
    ),
)
