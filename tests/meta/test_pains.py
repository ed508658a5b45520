"""Each of the 38 pains is caught by a check, or it is written why not."""

from __future__ import annotations

import re

import pytest

from dsbridge.checking.catalogue import own_checks
from dsbridge.cli.rulepage import all_layers
from tools.pains import catchers, pains_page, rows

RULES = {rule.code: rule for layer in all_layers(None) for rule in layer.rules}


def test_there_are_38_in_order() -> None:
    assert [row["number"] for row in rows()] == list(range(1, 39))


@pytest.mark.parametrize("row", rows(), ids=lambda row: str(row["number"]))
def test_it_is_caught_or_there_is_a_reason(row: dict[str, object]) -> None:
    assert catchers(row) or row["beyond"] or row["open"]
    assert str(row["symptom"]).endswith((".", "?"))
    assert row["threads"]
    for thread in row["threads"]:  # type: ignore[attr-defined]
        assert re.fullmatch(r"[\w.-]+/[\w.-]+#\d+", thread)


@pytest.mark.parametrize("row", rows(), ids=lambda row: str(row["number"]))
def test_its_rules_stop_the_run(row: dict[str, list[str]]) -> None:
    for code in row["rules"]:
        assert RULES[code].refuses is not None


def test_checks_speak_of_pains_that_there_are() -> None:
    numbers = {row["number"] for row in rows()}
    assert {number for check in own_checks() for number in check.pains} <= numbers


def test_every_check_that_catches_one_is_linked() -> None:
    page = pains_page("")
    for check in own_checks():
        assert not check.pains or f"(checks.md#{check.code.code.lower()}-{check.code.name})" in page
