"""`dsbridge rule CODE` of a check: all that is known of it, in text and JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jsonschema
import pytest

from dsbridge.checking.catalogue import own_checks
from dsbridge.subjects.contract import Check
from tests.meta.test_docs import schema


@pytest.mark.parametrize("check", own_checks(), ids=lambda check: check.code.code)
def test_it_tells_of_every_check(check: Check, dsbridge: Callable[..., Any]) -> None:
    outcome = dsbridge("rule", check.code.code.lower(), "--format", "json")
    jsonschema.validate(outcome.json, schema("check-page"))
    assert check.code.code in outcome.json["prints"]
    text = dsbridge("rule", check.code.code).out
    for said in (check.code.title, check.why, check.hint, outcome.json["prints"].splitlines()[0]):
        assert said in text
    for proof in check.evidence:
        assert f"{proof.file}:{proof.lines}" in text


def test_a_code_that_nobody_has(dsbridge: Callable[..., Any]) -> None:
    outcome = dsbridge("rule", "EX055")
    assert outcome.code == 2
    assert "Did you mean EX005" in outcome.err
