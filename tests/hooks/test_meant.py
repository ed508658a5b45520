"""What a run is held to: a spec, or a framework's files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dsbridge import load
from dsbridge.diagnostics import InputError
from dsbridge.hooks.meant import meant
from tests.conftest import ROOT

EXAMPLE = ROOT / "examples" / "hooks" / "trainer"
RECORDED = sorted(ROOT.glob("tests/recorded/hooks/*/trainer-drift-record.json"))


def call() -> dict[str, Any]:
    """A real run that clips at 0.3."""
    found = json.loads(RECORDED[-1].read_text())["recorded"]["call"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("kind", ["path", "text", "mapping", "loaded"])
def test_a_spec_in_every_form(kind: str) -> None:
    path = EXAMPLE / "dsbridge.yaml"
    forms = {"path": path, "text": str(path), "mapping": load(path).document.value, "loaded": load(path)}
    found = meant(forms[kind])
    (drift,) = found.compare(call(), None)
    assert (drift.path, drift.expected, drift.found) == ("gradient_clipping", 1.0, 0.3)
    where = "the spec" if kind == "mapping" else f"{path}:7"
    assert drift.asked == f"`gradient_clipping` of {where}"


def test_with_a_target_all_that_the_spec_comes_to_is_compared() -> None:
    found = meant(EXAMPLE / "dsbridge.yaml", "trainer")
    seen = call()
    assert {drift.path for drift in found.compare(seen, None)} == {
        "gradient_clipping",
        "engine.gradient_clipping",
    }
    seen["config"]["wall_clock_breakdown"] = True
    drift = next(entry for entry in found.compare(seen, None) if entry.path == "wall_clock_breakdown")
    assert drift.expected is None
    assert "is rendered" in drift.asked


def test_buckets_follow_the_live_model() -> None:
    seen = call()
    seen["model"]["config"]["hidden_size"] = 128  # the run had 64, and its bucket 64 * 64
    drift = {entry.path: entry for entry in meant(EXAMPLE / "dsbridge.yaml", "trainer").compare(seen, None)}
    assert drift["zero_optimization.reduce_bucket_size"].expected == 128 * 128


def test_what_cannot_be_read_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        meant(tmp_path / "gone.yaml")
    with pytest.raises(InputError):
        meant({"version": 1, "zero": {"stge": 2}})
