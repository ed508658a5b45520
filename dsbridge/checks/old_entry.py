"""A command that calls LLaMA-Factory's entry of long ago."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.provenance import Source
from dsbridge.reading import COMMAND
from dsbridge.rules import Evidence, numbers
from dsbridge.subjects.contract import Check, Example
from dsbridge.subjects.subject import Subject

GONE = Code("CK516", "train-bash", Severity.WARNING, "LLaMA-Factory has no src/train_bash.py any more.")
_WITHOUT = "0.7.1"  # the first release without it


def _run(subject: Subject) -> Iterator[Diagnostic]:
    if subject.input is None:
        return
    setup = subject.input.setup
    script = next((word for word in setup.whole if _is_entry(word)), "")
    if not script or subject.unit.files.has(script):
        return
    have = subject.versions.get("llamafactory")
    if have and numbers(have) < numbers(_WITHOUT):
        return
    yield GONE(
        f"{script} was LLaMA-Factory's entry: releases since {_WITHOUT} (May 2024) have no such file",
        hint="Write `FORCE_TORCHRUN=1 llamafactory-cli train FILE.yaml` with the arguments in FILE.yaml; or "
        "src/train.py, which takes arguments as flags, some by other names by now.",
        at=Source(COMMAND, None, len(setup.given_environ) + setup.whole.index(script) + 1),
    )


def _is_entry(word: str) -> bool:
    return PurePath(word).parts[-2:] == ("src", "train_bash.py")


_FLAGS = "--deepspeed ds.json --stage sft --do_train --finetuning_type lora --output_dir o"
_DS = '{"train_micro_batch_size_per_gpu": "auto", "zero_optimization": {"stage": 2}}'
CHECKS = (
    Check(
        code=GONE,
        run=_run,
        why="Python stops: can't open file. Commit ce8200ad9 of 3 May 2024 removed it, between the tags "
        "v0.7.0 and v0.7.1; the package that is installed today starts from its own launcher.",
        hint="Guides from before May 2024 have it.",
        fires=Example({"ds.json": _DS}, f"deepspeed --num_gpus 4 src/train_bash.py {_FLAGS}"),
        holds=Example({"ds.json": _DS}, f"deepspeed --num_gpus 4 src/train.py {_FLAGS}"),
        evidence=(
            Evidence(
                "llamafactory",
                "0.9.5",
                "launcher.py",
                "28",
                "llamafactory-cli train -h: train models",
                "",
            ),
        ),
        pains=(24,),
    ),
)
