"""A comment behind the backslash that should continue a command: the shell ends the command there."""

from __future__ import annotations

from collections.abc import Iterator

from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.subjects.contract import Check, Example
from dsbridge.subjects.subject import Subject

CUT = Code("CK010", "broken-continuation", Severity.ERROR, "A comment cuts the command in two.")


def _run(subject: Subject) -> Iterator[Diagnostic]:
    for command in subject.unit.commands:
        for at in command.cut:
            later = [
                word for word, place in zip(command.words, command.places, strict=True)
                if (place.line or 0) > (at.line or 0) and word.startswith("-")
            ]  # fmt: skip
            lost = f"; `{later[0]}` on the next line starts a command of its own" if later else ""
            yield CUT(
                f"the backslash is followed by a comment, so the shell ends the command here{lost}",
                hint="Let the backslash be the last letter of the line; put the comment on a line above.",
                at=at,
                severity=None if later else Severity.WARNING,
            )


_WAY = "torchrun --nproc_per_node 2 train.py \\%s\n  --output_dir out --deepspeed ds.json\n"
_DS = '{"train_micro_batch_size_per_gpu": "auto", "zero_optimization": {"stage": 2}}'

CHECKS = (
    Check(
        code=CUT,
        run=_run,
        why="The arguments behind it never reach the program: the run starts with defaults, or not at all.",
        hint="Comments stand on lines of their own, before the command.",
        fires=Example({"run.sh": _WAY % "  # sixteen GPUs", "ds.json": _DS}),
        holds=Example({"run.sh": "# sixteen GPUs\n" + _WAY % "", "ds.json": _DS}),
    ),
)
