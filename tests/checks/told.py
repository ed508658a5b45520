"""What one check says of an input."""

from __future__ import annotations

from typing import Any

from dsbridge.checking.running import run_example
from dsbridge.diagnostics import Diagnostic
from dsbridge.subjects.contract import Example


def told(code: str, files: dict[str, str], command: str = "", **more: Any) -> list[Diagnostic]:
    """The findings of this code. more: target, facts, versions."""
    return [d for d in run_example(Example(files, command, **more)).findings if d.code == code]


def says(code: str, files: dict[str, str], command: str = "", **more: Any) -> str:
    """Severity, message and hint of the only finding of this code; "" for none."""
    found = told(code, files, command, **more)
    assert len(found) < 2, found
    return f"{found[0].severity.value}: {found[0].message} | {found[0].hint}" if found else ""
