"""A key that a guide names in its prose, and that nobody has: readers copy it from there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.formats.markdown import Span
from dsbridge.subjects.contract import Check, Example
from dsbridge.subjects.names import is_known, near
from dsbridge.subjects.subject import Subject

MISSPELT = Code("CK118", "misspelt-in-prose", Severity.WARNING, "The text names a key that nobody has.")

_KEY = re.compile(r"""(?:--|["'])?([A-Za-z][\w.]*)["']?\s*(?:[:=]\s*(\S.*))?""")
_LITERAL = re.compile(r"(?:true|false|True|False|null|None|auto|[\d.eE+-]+|\"[^\"]*\"|'[^']*')[,;]?")
# a setting with such a name is meant for DeepSpeed
_THEIRS = re.compile(r"deepspeed|zero_?[123]|stage[123]|tensor_parallel|autotp")


def _run(subject: Subject) -> Iterator[Diagnostic]:
    for span in subject.unit.spans:
        found = _KEY.fullmatch(span.text)
        if found:
            yield from _told(span, found[1].rpartition(".")[2], found[2] or "", subject)


def _told(span: Span, name: str, value: str, subject: Subject) -> Iterator[Diagnostic]:
    at = subject.unit.source(span)
    instead = near(name)
    if instead:
        yield MISSPELT(f"nobody has a key `{name}`", hint=f"`{instead}` is meant.", key=name, at=at)
    elif "_" in name and _LITERAL.fullmatch(value) and _THEIRS.search(name) and not is_known(name):
        message = f"`{span.text}` sets nothing: neither DeepSpeed nor a framework has a key `{name}`"
        yield MISSPELT(message, hint="Say which key of the config or which argument it is.", key=name, at=at)


CHECKS = (
    Check(
        code=MISSPELT,
        run=_run,
        why="Whoever copies it gets a key that DeepSpeed refuses, or one that it ignores in silence.",
        hint="Correct the name in the text.",
        fires=Example({"guide.md": "Set `round_roboin_gradients` for offload.\n\n```json\n{}\n```\n"}),
        holds=Example({"guide.md": "Set `round_robin_gradients` for offload.\n\n```json\n{}\n```\n"}),
    ),
)
