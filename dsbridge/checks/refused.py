"""The framework stops before training: every reason for it that can be seen now."""

from __future__ import annotations

from collections.abc import Iterator

from dsbridge.diagnostics import Diagnostic, Severity
from dsbridge.explaining import REFUSED
from dsbridge.language import paths_in
from dsbridge.provenance import Source
from dsbridge.resolve import Refused
from dsbridge.rules import OverrideRule
from dsbridge.subjects.arguments import argument_findings
from dsbridge.subjects.contract import Check, Example
from dsbridge.subjects.subject import Subject

_DS = """{"zero_optimization": {"stage": 2}, "train_micro_batch_size_per_gpu": "auto"}"""
_COMMAND = "torchrun --nproc_per_node 2 train.py --output_dir out --deepspeed ds.json --lr_scheduler_type %s"


# what a flag of the command may say, where the command is not known: `--num_processes`
_BY_FLAG = ("ACC110",)


def _run(subject: Subject) -> Iterator[Diagnostic]:
    refusals = subject.refusals
    unread = _unread(subject) if refusals else frozenset()
    for refused in refusals:
        about = set(paths_in(refused.rule.when))
        if unread.intersection(about):
            continue  # it follows from a name that is not taken, and another check says so
        field = refused.fields[0] if refused.fields else None
        said = " ".join(refused.message.split())
        open_, severity = _open(refused, about, subject)
        yield REFUSED(
            f"{_title(subject)} stops with {refused.type}: {said}{open_} ({refused.rule.code})",
            hint=_hint(refused.rule, subject),
            key=field,
            at=_place(subject, refused, field),
            severity=severity or (Severity.WARNING if subject.depends_on_version(refused.rule) else None),
        )


def _title(subject: Subject) -> str:
    """Who stops, with the release that was asked."""
    framework = subject.input.framework if subject.input else None
    package = framework.package if framework else "deepspeed"
    version = subject.versions.get(package, "")
    return f"{framework.title if framework else 'DeepSpeed'} {version}".strip()


def _open(refused: Refused, about: set[str], subject: Subject) -> tuple[str, Severity | None]:
    """What the refusal depends on that nobody said, and how grave it is then."""
    if refused.rule.code in _BY_FLAG and not subject.launchers:
        return ", unless the command says it", Severity.INFO
    if subject.probe is not None and "init.optimizer" in about:
        return ", if the script leaves the optimizer to it", Severity.WARNING
    return "", None


def _unread(subject: Subject) -> frozenset[str]:
    """The arguments that stand in the input under a name that is not taken."""
    found = (one.instead for one in argument_findings(subject) if one.refused and one.instead)
    return frozenset(f"{root}.{name}" for name in found for root in ("args", "lf"))


def _place(subject: Subject, refused: Refused, field: str | None) -> Source | None:
    """Where the field stands; of one that is missing, what asks for it."""
    at = subject.place(field) if field else None
    if at is not None:
        return at
    asked = sorted(paths_in(refused.rule.when))
    return next((place for path in asked if (place := subject.wrote(path)) is not None), None)


def _hint(rule: OverrideRule, subject: Subject) -> str:
    """What to do; for a rule of some versions, of which ones: the user's may be another."""
    hint = rule.hint or rule.why
    said = []
    for package, since, until in rule.versions:
        bounds = " and ".join([f"from {since} on"] * bool(since) + [f"before {until}"] * bool(until))
        said.append(f"{package} {bounds} (here {subject.versions.get(package, 'the newest')})")
    if said:
        return f"{hint} This is so in {', '.join(said)}; --versions says yours."
    package = subject.input.framework.package if subject.input else "deepspeed"
    if subject.is_guess(package) and package in subject.versions:
        return f"{hint} --versions says another release."
    return hint


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
