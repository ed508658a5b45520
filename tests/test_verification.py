"""The comparison behind verify, over recorded runs; the real run itself is in conformance."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from conformance.oracle.score import predicted
from dsbridge.diagnostics import InputError
from dsbridge.verification import Verified, compare, message_matches, verify
from tests.meta.test_docs import schema
from tests.test_predictions import RECORDED, rows

ROWS = [row for row in rows(RECORDED / "hf" / "accelerate.jsonl") if not row["facts"]]
INITIALIZED = [row for row in ROWS if row["observed"]["outcome"] == "initialized"][:20]
REFUSED = [row for row in ROWS if row["observed"]["outcome"] == "error"][:20]


@pytest.mark.parametrize("row", [*INITIALIZED[:6], *REFUSED[:6]], ids=lambda row: row["id"])
def test_a_recorded_run_has_no_differences(row: dict[str, Any]) -> None:
    assert compare(predicted(row), row["observed"]) == []


def changed(row: dict[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    seen: dict[str, Any] = copy.deepcopy(row["observed"])
    node = seen
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return seen


def test_a_changed_value_is_a_difference() -> None:
    row = INITIALIZED[0]
    found = predicted(row)
    (one,) = compare(found, changed(row, ["config", "steps_per_print"], 10))
    assert one == {"path": "steps_per_print", "predicted": "Infinity", "observed": 10}
    (two,) = compare(found, changed(row, ["engine", "gradient_clipping"], 0.25))
    assert two["path"] == "engine.gradient_clipping"
    (more,) = compare(found, changed(row, ["config", "new_key"], None))
    assert more == {"path": "new_key", "predicted": None, "observed": None}
    stage = row["observed"]["config"]["train_batch_size"]
    (kind,) = compare(found, changed(row, ["config", "train_batch_size"], float(stage)))
    assert kind["path"] == "train_batch_size", "an integer and a float are two values"


def test_another_outcome_or_error_is_a_difference() -> None:
    assert compare(predicted(INITIALIZED[0]), REFUSED[0]["observed"])[0]["path"] == "outcome"
    row = REFUSED[0]
    (kind,) = compare(predicted(row), changed(row, ["error", "type"], "Other"))
    assert kind["path"] == "error.type"
    (text,) = compare(predicted(row), changed(row, ["error", "message"], "something else"))
    assert text["path"] == "error.message"


def test_messages() -> None:
    assert message_matches("a … c", "a b\n  c")
    assert message_matches("a (b)", "a  (b)")
    assert not message_matches("a … c", "a b d")


def test_json_follows_its_schema() -> None:
    from dsbridge.explaining import to_json

    row = INITIALIZED[0]
    made = Verified(to_json(predicted(row)), row["observed"], (), {"deepspeed": "0.19.8"}).to_json()
    known = schema("verify")
    known["properties"]["predicted"] = schema("explain")
    jsonschema.validate(json.loads(json.dumps(made, allow_nan=False)), known)


def test_rules_follow_their_schema(dsbridge: Callable[..., Any]) -> None:
    outcome = dsbridge("rules", "--format", "json")
    jsonschema.validate(outcome.json, schema("rules"))
    assert len(outcome.json["rules"]) > 400
    one = dsbridge("rule", "ACC173", "--format", "json")
    assert one.json in outcome.json["rules"]
    assert "steps_per_print" in dsbridge("rule", "acc173").out
    fewer = dsbridge("rules", "--framework", "deepspeed", "--field", "gradient_clipping")
    assert "DS173" in fewer.out
    assert "ACC" not in fewer.out


def test_without_the_framework_it_says_what_to_install() -> None:
    with pytest.raises(InputError, match=r"pip install 'dsbridge\[accelerate\]'"):
        verify(predicted(INITIALIZED[0]), Path())
