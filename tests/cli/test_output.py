"""Colour: on a terminal, unless NO_COLOR says otherwise."""

from __future__ import annotations

import sys
from io import StringIO

import pytest

from dsbridge.cli.output import painted
from dsbridge.diagnostics import Severity


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_colour_is_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys, "stdout", StringIO())
    assert painted("error", Severity.ERROR) == "error"
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert painted("error", Severity.ERROR) == "\x1b[31m\x1b[1merror\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert painted("error", Severity.ERROR) == "error"
