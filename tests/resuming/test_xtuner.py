"""`check --resume` on the command of an XTuner run, against what XTuner 0.2.0 really did."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conformance.resuming.xtuner_cases import text
from tests.resuming.replay import as_saved, lines, unpacked

PACKAGES = ("xtuner", "mmengine", "deepspeed", "torch")
LINES = lines("frameworks-xtuner")
RAN = [line for line in LINES if "convert_error" not in line]
RATE = 1e-2 * (1 + math.cos(math.pi * 3 / 12)) / 2  # what was saved, whatever the run asks for
# the cause, by the error that the run stopped with
TOLD = {
    "ZeRORuntimeException": {"CK710"},
    "UnpicklingError": {"CK703"},
}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What XTuner saved, without tensors."""
    return unpacked("frameworks-xtuner", tmp_path_factory.mktemp("xtuner"))


def resumed(line: dict[str, Any]) -> bool:
    """Weights, states and counters are those that were saved."""
    return as_saved(line, iteration=3)


def asked(line: dict[str, Any], **versions: str) -> list[str]:
    """The question, in the folder of the run: its files, what it resumes from, and its command."""
    plan = line["plan"]
    Path("config.py").write_text(text(plan), encoding="utf-8")
    Path("ds.json").write_text(json.dumps(line["ds"]), encoding="utf-8")
    named = "work" if line.get("by") else f"work/iter_3.pth{'_universal' if line.get('convert') else ''}"
    variables = [f"{name}={value}" for name, value in line["env"].items()] if line.get("env") else []
    words = ["env", *variables, f"NPROC_PER_NODE={plan['world']}", "xtuner", "train", "config.py"]
    words += ["--deepspeed", "ds.json", "--work-dir", "work", "--resume", named]
    known = {**{name: line["versions"][name] for name in PACKAGES}, **versions}
    said = ",".join(f"{name}={value}" for name, value in known.items() if value)
    return ["check", "--resume", named, "--format", "json", "--versions", said, "--", *words]


def found(line: dict[str, Any], dsbridge: Callable[..., Any], **versions: str) -> Any:
    """What is said of it: the findings about resuming, and refusals."""
    outcome = dsbridge(*asked(line, **versions))
    assert outcome.out, (line["id"], outcome.err)
    return [d for d in outcome.json["diagnostics"] if d["code"].startswith(("CK7", "EX"))]


@pytest.mark.parametrize("line", RAN, ids=lambda line: line["id"])
def test_the_verdict_is_what_xtuner_did(
    line: dict[str, Any], checkpoints: Path, monkeypatch: pytest.MonkeyPatch, dsbridge: Callable[..., Any]
) -> None:
    folder = checkpoints / (f"{line['saved']}-universal" if line.get("convert") else line["saved"])
    monkeypatch.chdir(folder)
    said = found(line, dsbridge)
    errors = {d["code"] for d in said if d["severity"] == "error"}
    told = [(d["code"], d["message"]) for d in said]
    assert bool(errors) != resumed(line), (line.get("error") or line["seen"], told)
    if resumed(line):
        warned = {d["code"] for d in said if d["severity"] == "warning"}
        assert ("CK732" in warned) == ("rate" in line["plan"]), told  # which is seen by its rate alone
        assert ("CK731" in warned) == (line["plan"]["world"] != line["was"]["world"]), told
        assert warned or line["seen"]["goes_on"] == "same", (line["seen"], told)
        assert line["seen"]["rate"] == pytest.approx(RATE)
    elif "error" in line:
        assert errors == TOLD.get(line["error"]["type"], errors), (line["error"], told)


def test_every_conversion_went_through() -> None:
    assert sum("convert" in line for line in LINES) == sum("convert" in line for line in RAN) > 5


def test_the_seed_is_read_by_older_torch_and_warned_of_where_torch_is_not_known(
    checkpoints: Path, monkeypatch: pytest.MonkeyPatch, dsbridge: Callable[..., Any]
) -> None:
    line = next(line for line in LINES if line["id"] == "xtuner-z2.as-installed")
    assert line["error"]["type"] == "UnpicklingError"
    monkeypatch.chdir(checkpoints / line["saved"])
    for torch, wanted in (("2.5.1", []), ("", ["warning"]), ("2.6.0", ["error"])):
        said = found(line, dsbridge, torch=torch)
        assert [d["severity"] for d in said if d["code"] == "CK703"] == wanted, torch
