"""The front door for tests: `dsbridge ...` in this process, with what it printed and its exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from dsbridge.cli import main

ROOT = Path(__file__).parent.parent

settings.register_profile("dsbridge", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("dsbridge")


@dataclass(frozen=True)
class Outcome:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def dsbridge(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run the CLI as `dsbridge(\"render\", spec, \"--target\", \"trainer\")`."""

    def run(*argv: str | Path) -> Outcome:
        monkeypatch.setattr("sys.argv", ["dsbridge", *(str(a) for a in argv)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return Outcome(int(stop.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture
def in_root(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run from the repository's root, so that file names in messages are stable."""
    monkeypatch.chdir(ROOT)
    return ROOT
