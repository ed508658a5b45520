"""Findings of a few texts, as `dsbridge check` makes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsbridge.checking.running import run_example
from dsbridge.diagnostics import Diagnostic
from dsbridge.subjects.contract import Example


def found(code: str, files: Mapping[str, str], command: str = "", **more: Any) -> list[Diagnostic]:
    """All findings with this code."""
    report = run_example(Example(files, command, **more))
    return [finding for finding in report.findings if finding.code == code]
