"""What dsbridge tells its user: a code, what happened, the facts, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from typing import Any, NamedTuple

from dsbridge.provenance import Source

CODE_PATTERN = re.compile(r"[A-Z]{2,5}[0-9]{3}")
NAME_PATTERN = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class Severity(str, Enum):
    """ERROR: will fail or train something else. WARNING: probably not wanted. INFO: for the record."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Code(NamedTuple):
    """One kind of finding: `LF012 clip-overwritten`, its usual severity, and what it means."""

    code: str
    name: str
    severity: Severity
    title: str

    def flaw(self) -> str:
        """What is wrong with the form of the code; "" for nothing. Asked when a plugin registers it."""
        if not CODE_PATTERN.fullmatch(self.code):
            return f"code {self.code!r}: two to five capitals and three digits, as LF012"
        if not NAME_PATTERN.fullmatch(self.name):
            return f"{self.code}: name {self.name!r} must be kebab-case"
        return ""

    def __call__(
        self,
        message: str,
        *,
        hint: str = "",
        key: str | None = None,
        at: Source | None = None,
        severity: Severity | None = None,
        fix: Fix | None = None,
    ) -> Diagnostic:
        """Report one finding of this kind."""
        return Diagnostic(
            code=self.code,
            name=self.name,
            severity=severity or self.severity,
            message=message,
            hint=hint,
            key=key,
            file=at.file if at else None,
            line=at.line if at else None,
            column=at.column if at else None,
            fix=fix,
        )


class Edit(NamedTuple):
    """A change of one key in one of the user's files.

    path: of the key in the file. action: "set" (to `value`), "remove", "rename" (to the name `value`) or
    "move" (to the path `value`).
    """

    file: str
    path: tuple[str | int, ...]
    action: str
    value: Any = None


class Fix(NamedTuple):
    """A safe repair: what it does in a few words, and the edits that do it, all or none."""

    title: str
    edits: tuple[Edit, ...]


class Diagnostic(NamedTuple):
    """One finding. `key` is a dotted path; `fix` is a safe repair, where there is one."""

    code: str
    name: str
    severity: Severity
    message: str
    hint: str = ""
    file: str | None = None
    line: int | None = None
    column: int | None = None
    key: str | None = None
    fix: Fix | None = None

    def at(self, source: Source | None) -> Diagnostic:
        """The same finding, placed where the user wrote the value (if it has no place yet)."""
        if source is None or self.file is not None:
            return self
        return self._replace(file=source.file, line=source.line, column=source.column)

    def to_json(self) -> dict[str, Any]:
        """The shape the CLI contract fixes."""
        fix = self.fix.title if self.fix else None
        return {**self._asdict(), "severity": self.severity.value, "fix": fix}

    def to_text(self) -> str:
        """`file:line:column: error CODE name: message`, then the hint on its own line."""
        place = ":".join(str(p) for p in (self.file, self.line, self.column) if p is not None)
        head = f"{place}: " if place else ""
        text = f"{head}{self.severity.value} {self.code} {self.name}: {self.message}"
        return f"{text}\n    {self.hint}" if self.hint else text


# What has no place in a target: the printer puts those of one reason into one paragraph.
UNSUPPORTED = Code("REN002", "no-place", Severity.WARNING, "The target has no place for this setting.")
NOT_RENDERED = " is not rendered: "  # between setting and reason


class InputError(Exception):
    """The input cannot be used. Carries every reason found, never only the first."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__("\n".join(d.to_text() for d in self.diagnostics))


def has_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    """True when one of them says that training would fail or be something else."""
    return any(d.severity is Severity.ERROR for d in diagnostics)
