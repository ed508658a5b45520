"""XTuner's scheduler beside DeepSpeed's."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from dsbridge.checks.both_schedulers import CHECKS
from tests.checks.finding import found
from tests.conftest import ROOT

EXAMPLE = CHECKS[0].fires


def _told(**changed: str) -> list[str]:
    return [finding.message for finding in found("CK215", {**EXAMPLE.files, **changed}, EXAMPLE.command)]


def test_it_names_the_one_of_the_file() -> None:
    (message,) = _told()
    assert "WarmupLR" in message


@pytest.mark.parametrize("scheduler", ["null", "{}", '{"params": {"warmup_num_steps": 10}}'])
def test_no_scheduler_in_the_file(scheduler: str) -> None:
    block = json.loads(EXAMPLE.files["ds.json"]) | {"scheduler": json.loads(scheduler)}
    assert not _told(**{"ds.json": json.dumps(block)})


def test_no_scheduler_in_the_config() -> None:
    lines = [x for x in EXAMPLE.files["config.py"].splitlines() if not x.startswith("param_scheduler")]
    assert not _told(**{"config.py": "\n".join(lines)})


def test_both_really_run() -> None:
    recorded = json.loads((ROOT / "tests/recorded/curves/xtuner-both.json").read_text(encoding="utf-8"))
    curves = recorded["curves"]
    assert (curves["both"]["engine"], curves["both"]["runner"]) == ("WarmupLR", ["CosineAnnealingLR"])
    assert (curves["mmengine"]["engine"], curves["deepspeed"]["runner"]) == ("NoneType", [])
    theirs, own = curves["deepspeed"]["rates"], curves["mmengine"]["rates"]
    # each step: DeepSpeed's rate, times what mmengine's curve changes in this one step
    changed = [now / before for before, now in pairwise(own)]
    expected = [rate * by for rate, by in zip(theirs[1:], changed, strict=True)]
    assert curves["both"]["rates"][1:] == pytest.approx(expected)
    assert curves["both"]["rates"] not in (theirs, own)
