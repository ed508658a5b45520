"""The hook that pre-commit finds in this repository."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import ROOT

MANIFEST = ROOT / ".pre-commit-hooks.yaml"


def test_pre_commit_accepts_the_manifest() -> None:
    command = [sys.executable, "-m", "pre_commit", "validate-manifest", str(MANIFEST)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_pre_commit_refuses_a_wrong_one(tmp_path: Path) -> None:
    wrong = tmp_path / ".pre-commit-hooks.yaml"
    wrong.write_text(MANIFEST.read_text().replace("language:", "tongue:"))
    command = [sys.executable, "-m", "pre_commit", "validate-manifest", str(wrong)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1


def test_its_entry_runs_over_any_files(dsbridge: Callable[..., Any], in_root: Path) -> None:
    (hook,) = yaml.safe_load(MANIFEST.read_text())
    program, *words = hook["entry"].split()
    assert program == "dsbridge"
    # files of every kind that it asks for, none of them a config
    names = ["pyproject.toml", "noxfile.py", "CONTRIBUTING.md", "examples/dsbridge.schema.json"]
    outcome = dsbridge(*words, *names)
    assert (outcome.code, outcome.err) == (0, "")
