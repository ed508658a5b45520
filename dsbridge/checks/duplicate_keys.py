"""A key that stands twice in one mapping of a config."""

from __future__ import annotations

from collections.abc import Iterator

from dsbridge.diagnostics import Code, Diagnostic, InputError, Severity
from dsbridge.formats.duplicates import Twice, duplicates
from dsbridge.rules import Evidence
from dsbridge.subjects.contract import Check, Example
from dsbridge.subjects.subject import Subject

TWICE = Code("CK106", "duplicate-key", Severity.WARNING, "A mapping says the same key twice.")


def _run(subject: Subject) -> Iterator[Diagnostic]:
    names = [name for name in subject.unit.given if name.endswith((".json", ".yaml", ".yml"))]
    ds = subject.ds.file if subject.ds and subject.ds.document else ""
    for name in dict.fromkeys(filter(None, (*names, ds))):
        try:
            text = subject.ds.plain if subject.ds and name == ds else subject.unit.files.text(name)
        except InputError:
            continue
        for found in duplicates(text, name):
            yield _told(found, subject, ds=name == ds)


def _told(found: Twice, subject: Subject, *, ds: bool) -> Diagnostic:
    key = ".".join(map(str, found.path))
    message = f"`{key}` stands here and in line {found.first.line}"
    stops = next((one for one in subject.refusals if "uplicate key" in one.message), None)
    if stops is not None:
        title = subject.input.framework.title if subject.input else "DeepSpeed"
        severity: Severity | None = Severity.ERROR
        message += f"; {title} stops with {stops.type} ({stops.rule.code})"
    elif ds:
        severity = None
        message += (
            "; Transformers and Accelerate take the last, and deepspeed.initialize stops at such a file"
        )
    else:
        severity = Severity.INFO if found.same else None
        message += "; the last one counts, and nobody says so"
    return TWICE(message, hint="Keep one of the two.", key=key, at=found.last, severity=severity)


_DS = '{\n  "train_micro_batch_size_per_gpu": 1,\n  "zero_optimization": {\n    "stage": 2%s\n  }\n}\n'
CHECKS = (
    Check(
        code=TWICE,
        run=_run,
        why="The tools that read the file do not agree: one takes the last in silence, another stops.",
        hint="Keep one of the two.",
        fires=Example({"ds_config.json": _DS % ',\n    "stage": 3'}),
        holds=Example({"ds_config.json": _DS % ',\n    "overlap_comm": true'}),
        evidence=(
            Evidence(
                "deepspeed", "0.19.8", "runtime/config_utils.py", "211",
                'raise ValueError("Duplicate keys in DeepSpeed config: {}".format(keys))',
                "deepspeed/text/duplicate",
            ),
        ),
        explains=("LF107",),
    ),
)  # fmt: skip
