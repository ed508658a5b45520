"""The framework stops before training: every reason for it that can be seen now."""

from __future__ import annotations

from collections.abc import Iterator

from dsbridge.diagnostics import Diagnostic, Severity
from dsbridge.explaining import REFUSED
from dsbridge.rules import OverrideRule
from dsbridge.subjects.contract import Check, Example
from dsbridge.subjects.subject import Subject

_DS = """{"zero_optimization": {"stage": 2}, "train_micro_batch_size_per_gpu": "auto"}"""
_COMMAND = "torchrun --nproc_per_node 2 train.py --output_dir out --deepspeed ds.json --lr_scheduler_type %s"


def _run(subject: Subject) -> Iterator[Diagnostic]:
    for refused in subject.refusals:
        title = subject.input.framework.title if subject.input else "DeepSpeed"
        field = refused.fields[0] if refused.fields else None
        said = " ".join(refused.message.split())
        yield REFUSED(
            f"{title} stops with {refused.type}: {said} ({refused.rule.code})",
            hint=_hint(refused.rule, subject),
            key=field,
            at=subject.place(field) if field else None,
            severity=Severity.WARNING if subject.depends_on_version(refused.rule.code) else None,
        )


def _hint(rule: OverrideRule, subject: Subject) -> str:
    """What to do; for a rule of some versions, of which ones: the user's may be another."""
    hint = rule.hint or rule.why
    said = []
    for package, since, until in rule.versions:
        bounds = " and ".join([f"from {since} on"] * bool(since) + [f"before {until}"] * bool(until))
        said.append(f"{package} {bounds} (here {subject.versions.get(package, 'the newest')})")
    return f"{hint} This is so in {', '.join(said)}; --versions says yours." if said else hint


CHECKS = (
    Check(
        code=REFUSED,
        run=_run,
        why="The job stops with this error, often after minutes of loading, and on a cluster after queueing.",
        hint="`dsbridge rule CODE` tells the rule in brackets, with the framework's lines that raise it.",
        fires=Example({"ds.json": _DS}, _COMMAND % "cosin"),
        holds=Example({"ds.json": _DS}, _COMMAND % "cosine"),
        pains=(1, 17, 18),
    ),
)
