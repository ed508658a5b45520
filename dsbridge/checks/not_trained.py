"""A value that the user wrote, and something else trains."""

from __future__ import annotations

from collections.abc import Iterator

from dsbridge.checks.accumulation import RULES as ACCUMULATION
from dsbridge.checks.clipping import RULES as CLIPPING
from dsbridge.checks.scheduler_block import RULES as SCHEDULER
from dsbridge.checks.xtuner_keeps import RULES as XTUNER
from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.subjects.contract import Check, Example
from dsbridge.subjects.subject import Subject
from dsbridge.subjects.wishes import Wish, changes_result, instead, silent, wishes

NOT_TRAINED = Code("CK200", "value-not-trained", Severity.WARNING, "Something else trains than was written.")
_TOLD = ACCUMULATION | CLIPPING | SCHEDULER | XTUNER  # rules whose wishes have a check of their own


def _run(subject: Subject) -> Iterator[Diagnostic]:
    for wish in wishes(subject):
        if wish.rule.code not in _TOLD and not silent(wish):
            yield _finding(wish)


def _finding(wish: Wish) -> Diagnostic:
    return NOT_TRAINED(
        f"{wish.shown} = {wish.value!r} does not train: {instead(wish)}, so {wish.meaning.reason} "
        f"({wish.rule.code}: {wish.rule.title})",
        hint=f"{wish.rule.hint or wish.rule.why} `dsbridge rule {wish.rule.code}` shows who does it.",
        key=wish.shown,
        at=wish.at,
        severity=Severity.WARNING if changes_result(wish) else Severity.INFO,
    )


_YAML = """### model
model_name_or_path: meta-llama/Llama-3.1-8B
stage: sft
do_train: true
finetuning_type: lora
dataset: alpaca_en_demo
template: llama3
output_dir: saves/llama3
per_device_train_batch_size: 1
%s
deepspeed: ds.json
"""
_DS = """{"train_batch_size": "auto", "train_micro_batch_size_per_gpu": "auto",
 "gradient_accumulation_steps": "auto", "gradient_clipping": "auto", "bf16": {"enabled": "auto"},
 "zero_optimization": {"stage": 2}}"""
CHECKS = (
    Check(
        code=NOT_TRAINED,
        run=_run,
        why="The run trains without an error, with another value than the file says.",
        hint="Write the value where it is read, or take it out; the finding names the rule that replaces it.",
        fires=Example({"train.yaml": _YAML % "pure_bf16: true", "ds.json": _DS}),
        holds=Example({"train.yaml": _YAML % "bf16: true", "ds.json": _DS}),
        pains=(6, 18),
    ),
)
