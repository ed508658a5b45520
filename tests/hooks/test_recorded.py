"""Every recorded run with a hook, told again from what its engine was given: no framework is needed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from conformance.hooking.__main__ import TOLD, lay_out
from conformance.hooking.cases import CASES, Case
from dsbridge.hooks.meant import meant
from dsbridge.hooks.own import LIVE
from dsbridge.hooks.telling import message
from dsbridge.hooks.verifying import differences
from tests.conftest import ROOT

FILES = sorted((ROOT / "tests" / "recorded" / "hooks").glob("*/*.json"))


def case_of(path: Path) -> Case:
    """The case of a recording, which holds all that it was made of."""
    names = {f"{case.example}-{case.name}": case for cases in CASES.values() for case in cases}
    case, held = names[path.stem], json.loads(path.read_text())["case"]
    assert held == {
        "example": case.example,
        "launch": case.launch.splitlines(),
        "edits": [list(edit) for edit in case.edits],
    }, f"{path}: the case has changed since it was recorded"
    return case


def test_every_case_is_recorded() -> None:
    recorded = {path.stem for path in FILES}
    assert recorded == {f"{case.example}-{case.name}" for cases in CASES.values() for case in cases}


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_it_did_what_it_was_made_for(path: Path) -> None:
    case, seen = case_of(path), json.loads(path.read_text())
    assert seen["steps"] == (2 if case.trains else 0)
    assert seen["raised"] == (not case.trains)
    assert (seen["ended"] == "with 0") == (case.trains or case.hides)
    if not case.trains and "outcome" not in str(seen["told"]):
        assert any(line.startswith("set by ") for line in seen["told"])
    if seen["recorded"]:
        call = seen["recorded"]["call"]
        assert (call["config"], call["engine"]) == (seen["received"], seen["engine"])


def replayable(path: Path) -> bool:
    """Rank 0's engine tells it all: no drift on another rank alone, and one that is told."""
    seen = json.loads(path.read_text())
    return bool(seen["received"] and (seen["told"] or seen["recorded"])) and "on rank 1" not in str(
        seen["told"]
    )


def call_of(seen: dict[str, Any]) -> dict[str, Any]:
    """What `effective` gave there, or would have."""
    if seen["recorded"]:
        return dict(seen["recorded"]["call"])
    made = {"config": seen["received"], "engine": seen["engine"], "versions": seen["versions"]}
    return {**made, "outcome": "initialized", "error": None, "world_size": 2, "at": None, "model": None}


@pytest.mark.parametrize(
    "path", [*filter(replayable, FILES)], ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_the_same_is_told_of_it(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case, seen = case_of(path), json.loads(path.read_text())
    monkeypatch.chdir(lay_out(case, tmp_path))
    monkeypatch.setenv("WORLD_SIZE", "2")
    words = case.launch.split()
    after = next((words[at:] for at, word in enumerate(words) if word.endswith(".py")), [])
    monkeypatch.setattr(sys, "orig_argv", [sys.executable, "-u", *after])
    target = "trainer" if 'target="trainer"' in str(case.edits) else ""
    drift = differences(meant("dsbridge.yaml", target), call_of(seen))
    if seen["recorded"]:
        told = [entry.to_json() for entry in drift]
        whole = seen["recorded"]["differences"]
    else:
        told = TOLD.findall("DriftError: " + message("dsbridge.yaml", drift, [0, 1], 2))
        told, whole = [_bare(line) for line in told], [_bare(line) for line in seen["told"]]
    if case.example == "trainer" and LIVE not in str(whole) and "live TrainingArguments" not in str(whole):
        assert _sorted(told) == _sorted(whole)
    else:  # who set it was read of the live arguments or of the launcher above
        assert _sorted(_without_who(told)) == _sorted(_without_who(whole))


def _sorted(told: list[Any]) -> list[str]:
    """A recording has its keys in another order than the run had."""
    return sorted(json.dumps(entry, sort_keys=True) for entry in told)


def _bare(line: str) -> str:
    """An exception and a warning say the same."""
    return line.strip().removeprefix("DriftError: ").removeprefix("DriftWarning: ")


def _without_who(told: list[Any]) -> list[Any]:
    lines = [entry for entry in told if not str(entry).startswith("set by ")]
    return [{**entry, "set_by": ""} if isinstance(entry, dict) else entry for entry in lines]
