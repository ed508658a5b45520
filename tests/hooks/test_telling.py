"""What a user reads of a difference."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from dsbridge.against import Drift
from dsbridge.hooks.telling import DriftError, checked_mode, message, write

CLIPS = Drift(
    "gradient_clipping", 1.0, 0.3, "`gradient_clipping` of dsbridge.yaml:7", "train.py:5: why (TR138)"
)
NEVER = Drift("outcome", "deepspeed.initialize is called", "deepspeed.initialize is never called")


def test_field_expected_found_who_and_what_to_do() -> None:
    assert message("dsbridge.yaml", [CLIPS], [0, 1], 2).splitlines() == [
        "the run is not as dsbridge.yaml says: 1 difference",
        "  gradient_clipping: expected 1.0 (`gradient_clipping` of dsbridge.yaml:7), found 0.3",
        "      set by train.py:5: why (TR138)",
        "  Change it where it is set, or say in dsbridge.yaml what you want of gradient_clipping; "
        '`on_difference="warn"` trains on.',
    ]


def test_ranks_are_named_where_not_all_differ() -> None:
    assert "2 differences on rank 1 of 2" in message("the spec", [CLIPS, CLIPS], [1], 2)


def test_a_run_without_deepspeed_is_told_how_to_start() -> None:
    told = message("dsbridge.yaml", [NEVER], [0], 1)
    assert "set by" not in told
    assert "Start the run with DeepSpeed as dsbridge.yaml asks" in told


def test_the_error_travels_between_processes() -> None:
    error = pickle.loads(pickle.dumps(DriftError("text", [CLIPS], [1])))
    assert (str(error), error.differences, error.ranks) == ("text", [CLIPS], [1])


def test_a_mode_that_is_none() -> None:
    assert checked_mode("warn") == "warn"
    with pytest.raises(ValueError, match='"raise", "warn" or "record"'):
        checked_mode("ignore")


def test_the_record_is_strict_json(tmp_path: Path) -> None:
    path = tmp_path / "new" / "drift.json"
    write(path, "dsbridge.yaml", {"config": {"a": 1}}, [CLIPS._replace(found=float("inf"))])
    (told,) = json.loads(path.read_text())["differences"]
    assert told["found"] == "Infinity"
