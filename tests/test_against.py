"""What is said of a drift, over recorded runs of the real frameworks."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from conformance.oracle.score import predicted
from dsbridge.against import Drift, facts_of, from_prediction, from_spec
from dsbridge.spec.load import load_mapping
from tests.test_predictions import RECORDED, rows

TRAINER = [
    row
    for row in rows(RECORDED / "hf" / "trainer.jsonl")
    if not row["facts"] and row["observed"]["outcome"] == "initialized"
]


def seen_in(row: dict[str, Any]) -> dict[str, Any]:
    """The recorded observation as `observe` gives a call."""
    more = {"versions": row["versions"], "world_size": row["world_size"], "at": "transformers/trainer.py:1"}
    return copy.deepcopy(row["observed"]) | more


@pytest.mark.parametrize("row", TRAINER[:40:4], ids=lambda row: row["id"])
def test_no_drift_from_the_runs_own_prediction(row: dict[str, Any]) -> None:
    assert from_prediction(predicted(row), seen_in(row)) == []


def planted(config: dict[str, Any], engine: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A run that clips at 1.0, and what was seen when something clipped at 0.25."""
    row = next(row for row in TRAINER if row["observed"]["config"].get("gradient_clipping") == 1.0)
    seen = seen_in(row)
    seen["config"] |= config
    seen["engine"] |= engine
    return row, seen


def test_a_drift_names_field_expected_found_and_who() -> None:
    row, seen = planted({"gradient_clipping": 0.25}, {"gradient_clipping": 0.25})
    own = predicted(row)
    first, second = from_prediction(own, seen, own)
    assert (first.path, first.expected, first.found) == ("gradient_clipping", 1.0, 0.25)
    assert "the program as it ran" in first.set_by
    assert "transformers/trainer.py:1" in first.set_by
    assert second.path == "engine.gradient_clipping"
    (drift,) = from_spec(load_mapping({"version": 1, "gradient_clipping": 1.0}).spec, seen, own)
    assert str(drift).startswith(
        "`gradient_clipping`: expected 1.0 (`gradient_clipping` of the spec), found 0.25"
    )


def test_a_value_that_a_rule_wrote_names_the_rule() -> None:
    row, seen = planted({}, {})
    (drift,) = from_spec(load_mapping({"version": 1, "gradient_clipping": 0.5}).spec, seen, predicted(row))
    assert (drift.expected, drift.found) == (0.5, 1.0)
    assert "TR" in drift.set_by


def test_what_a_spec_does_not_say_is_not_compared() -> None:
    _, seen = planted({"steps_per_print": 7}, {})
    assert from_spec(load_mapping({"version": 1}).spec, seen) == []
    native = load_mapping({"version": 1, "deepspeed": {"steps_per_print": 5}}).spec
    (drift,) = from_spec(native, seen)
    assert (drift.path, drift.expected, drift.found) == ("steps_per_print", 5, 7)


def test_batch_dtype_and_stage_of_a_spec_are_held_to_the_engine() -> None:
    _, seen = planted({}, {"zero_stage": 1, "fp16": False, "train_batch_size": 12})
    wish = {"version": 1, "zero": {"stage": 3}, "precision": {"dtype": "fp16"}, "batch": {"global": 16}}
    drift = from_spec(load_mapping(wish).spec, seen)
    said = {entry.path: (entry.expected, entry.found) for entry in drift}
    assert said["zero_optimization.stage"] == (3, 1)
    assert said["fp16.enabled"] == (True, False)
    assert said["train_batch_size"] == (16, 12)


def test_a_default_has_nobody_who_set_it() -> None:
    _, seen = planted({}, {})
    seen["config"].pop("communication_data_type", None)
    (drift,) = from_spec(
        load_mapping({"version": 1, "precision": {"communication_dtype": "fp32"}}).spec, seen
    )
    assert "DeepSpeed's default" in drift.set_by


def test_other_outcomes() -> None:
    spec = load_mapping({"version": 1, "zero": {"stage": 2}}).spec
    (never,) = from_spec(spec, {"outcome": "unused", "config": None, "engine": None, "error": None})
    assert never.found == "deepspeed.initialize is never called"
    _, seen = planted({}, {})
    seen |= {"engine": None, "error": {"type": "ValueError", "message": "no"}, "outcome": "error"}
    assert from_spec(spec, seen)[0].found == "ValueError: no"


def test_json_and_facts() -> None:
    drift = Drift("a", float("inf"), None)
    assert json.dumps(drift.to_json(), allow_nan=False)
    seen = {"world_size": 4, "model": {"config": {"hidden_size": 64}}}
    assert facts_of(seen) == {"world_size": 4, "model": {"hidden_size": 64}}
    assert facts_of({"world_size": None, "model": None}) == {}


def test_numbers_of_an_optimizer_that_deepspeed_builds() -> None:
    _, seen = planted({"optimizer": {"type": "AdamW", "params": {"lr": 1e-4, "betas": [0.9, 0.95]}}}, {})
    wish = {"lr": 3e-4, "betas": [0.9, 0.95]}
    assert (
        from_spec(load_mapping({"version": 1, "optimizer": wish | {"owner": "framework"}}).spec, seen) == []
    )
    (drift,) = from_spec(load_mapping({"version": 1, "optimizer": wish | {"owner": "deepspeed"}}).spec, seen)
    assert (drift.path, drift.expected, drift.found) == ("optimizer.params.lr", 3e-4, 1e-4)


def test_a_spec_without_deepspeed_is_held_to_that() -> None:
    unused = {"outcome": "unused", "config": None, "engine": None, "error": None}
    plain, sharded = ({"version": 1, "gradient_clipping": 1.0}, {"version": 1, "fsdp": {"version": 2}})
    assert from_spec(load_mapping(plain).spec, unused) == []
    assert from_spec(load_mapping(sharded).spec, unused) == []
    _, seen = planted({}, {})
    (drift,) = from_spec(load_mapping(sharded).spec, seen)
    assert (drift.path, drift.expected) == ("outcome", "FSDP")


def test_where_nothing_can_be_read_nobody_is_accused() -> None:
    _, seen = planted({"gradient_clipping": 0.25}, {"gradient_clipping": 0.25})
    (drift,) = from_spec(load_mapping({"version": 1, "gradient_clipping": 1.0}).spec, seen)
    assert drift.set_by == "somebody: what the run was started with cannot be read"
