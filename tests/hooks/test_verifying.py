"""The verdict in a program without an engine, and what happens where comparing itself fails."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import dsbridge
from dsbridge.against import RUNNING, UNREAD, Drift
from dsbridge.explaining import Explanation
from dsbridge.hooks import DriftError, DriftWarning, verify_engine
from dsbridge.hooks.meant import Meant
from dsbridge.hooks.verifying import judge, named_by

SPEC = {"version": 1, "zero": {"stage": 2}, "gradient_clipping": 1.0}


def test_no_engine_although_the_spec_asks_for_one() -> None:
    with pytest.raises(DriftError, match=r"found 'deepspeed.initialize is never called'") as caught:
        verify_engine(None, SPEC)
    (drift,) = caught.value.differences
    assert drift.path == "outcome"


def test_warn_and_record_go_on(tmp_path: Path) -> None:
    with pytest.warns(DriftWarning, match="1 difference"):
        assert len(verify_engine(None, SPEC, on_difference="warn")) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (drift,) = verify_engine(None, SPEC, on_difference="record", record_to=tmp_path / "drift.json")
    told = json.loads((tmp_path / "drift.json").read_text())
    assert told["differences"] == [drift.to_json()]
    assert told["call"]["outcome"] == "unused"


@pytest.mark.parametrize(
    "spec",
    [{"version": 1}, {"version": 1, "fsdp": {"version": 2}}, {"version": 1, "precision": {"dtype": "bf16"}}],
)
def test_a_spec_that_asks_for_no_deepspeed(spec: dict[str, Any]) -> None:
    assert verify_engine(None, spec) == []


def test_effective_of_no_engine_and_where_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "8")
    seen = dsbridge.effective(None)
    assert (seen["outcome"], seen["rank"], seen["world_size"]) == ("unused", 3, 8)
    assert json.loads(json.dumps(seen, allow_nan=False)) == seen


def test_a_record_that_cannot_be_written_does_not_end_one_rank(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.warns(DriftWarning, match="is not written"):
        verify_engine(None, SPEC, on_difference="record", record_to=tmp_path / "file" / "drift.json")


def broken(seen: Mapping[str, Any], own: Explanation | None) -> list[Drift]:
    raise KeyError("gone")


def test_a_comparison_that_fails_is_told_to_all() -> None:
    with pytest.raises(RuntimeError, match="rank 0: KeyError: 'gone'"):
        judge(None, Meant("dsbridge.yaml", broken), "raise")
    with pytest.warns(DriftWarning, match="could not be compared with dsbridge.yaml"):
        assert judge(None, Meant("dsbridge.yaml", broken), "warn") == []


def test_the_first_account_that_names_somebody_counts() -> None:
    nobody = Drift("a", 1, 2, set_by=f"{RUNNING}, before deepspeed.initialize at x")
    script, launcher = nobody._replace(set_by="train.py:3"), nobody._replace(set_by="accelerate.yaml:5")
    assert named_by([nobody], [launcher]) == [launcher]
    assert named_by([launcher], [script]) == [launcher]
    assert named_by([nobody], [nobody, script._replace(path="b")]) == [nobody]
    unread = nobody._replace(set_by=UNREAD)
    assert named_by([unread], [nobody]) == named_by([nobody], [unread]) == [nobody]
