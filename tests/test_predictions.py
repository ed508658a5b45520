"""Theorem 1: every recorded run of a real framework is predicted, key by key, or with its error.

The recordings are written by `python -m conformance.oracle` alone; `conformance.oracle.score` compares.
"""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from conformance.oracle.case import read_lines
from conformance.oracle.cases import ENVIRONMENTS, FRAMEWORKS
from conformance.oracle.score import check, predicted
from dsbridge.explaining import Explanation, to_json
from dsbridge.plugins import Registry, registry
from dsbridge.rules import Layer, OverrideRule
from tests.conftest import ROOT
from tests.meta.test_docs import schema

RECORDED = ROOT / "tests" / "recorded" / "effective"
FILES = sorted(RECORDED.glob("*/*.jsonl"))
CHUNK = 40
PARTS = [
    (path, start) for path in FILES for start in range(0, path.read_text(encoding="utf-8").count("\n"), CHUNK)
]


@cache
def rows(path: Path) -> list[dict[str, Any]]:
    return list(read_lines(path))


def part(path: Path, start: int) -> list[dict[str, Any]]:
    return rows(path)[start : start + CHUNK]


def name(value: Any) -> str:
    return f"{value.parent.name}/{value.stem}" if isinstance(value, Path) else str(value)


@pytest.mark.parametrize(("path", "start"), PARTS, ids=name)
def test_every_recorded_case_is_predicted(path: Path, start: int) -> None:
    wrong = {row["id"]: found for row in part(path, start) if (found := check(row))}
    assert not wrong, json.dumps(wrong, indent=1)


@pytest.mark.parametrize(("path", "start"), PARTS[::4], ids=name)
def test_explanations_follow_the_schema(path: Path, start: int) -> None:
    import jsonschema

    validator = jsonschema.Draft202012Validator(schema("explain"))
    for row in part(path, start)[::8]:
        found = to_json(predicted(row))
        validator.validate(json.loads(json.dumps(found, allow_nan=False)))


def test_there_are_enough_of_every_framework_and_none_is_broken() -> None:
    counted: Counter[str] = Counter()
    for path in FILES:
        for row in rows(path):
            counted[row["framework"]] += 1
            assert row["observed"]["outcome"] in ("initialized", "error", "unused"), row["id"]
    assert counted.total() >= 1500
    for framework in FRAMEWORKS:
        assert counted[framework] >= 250, counted
        for environment in ENVIRONMENTS[framework]:
            assert (RECORDED / environment / f"{framework}.jsonl").is_file()


def test_ids_are_unique_in_their_file() -> None:
    for path in FILES:
        ids = [row["id"] for row in rows(path)]
        assert len(ids) == len(set(ids)), path


def acting(found: Explanation) -> set[str]:
    """Codes of the rules that did something in a prediction."""
    result = found.result
    codes = {step.rule.code for steps in result.steps.values() for step in steps}
    codes |= {step.rule.code for step in result.notes}
    return codes | ({result.refused.rule.code} if result.refused else set())


@cache
def by_rule() -> dict[str, list[tuple[Path, int]]]:
    """For each rule code, the recorded cases in which it acts (the first few of each file)."""
    found: dict[str, list[tuple[Path, int]]] = {}
    for path in FILES:
        seen: Counter[str] = Counter()
        for index, row in enumerate(rows(path)):
            for code in acting(predicted(row)):
                seen[code] += 1
                if seen[code] <= 6:
                    found.setdefault(code, []).append((path, index))
    return found


class Without(Registry):
    """The installed plugins, one rule missing."""

    def __init__(self, code: str) -> None:
        known = registry()
        super().__init__(known.manager, known.frameworks, known.origins, known.codes)
        self.code = code

    def layer(self, name: str) -> Layer:
        whole = super().layer(name)
        return whole._replace(rules=tuple(rule for rule in whole.rules if rule.code != self.code))


@cache
def by_id() -> dict[str, list[tuple[Path, int]]]:
    """Where each recorded case stands, in every environment."""
    found: dict[str, list[tuple[Path, int]]] = {}
    for path in FILES:
        for index, row in enumerate(rows(path)):
            found.setdefault(row["id"], []).append((path, index))
    return found


def evident(rule: OverrideRule) -> list[tuple[Path, int]]:
    """The recorded cases that the rule's evidence names."""
    return [place for proof in rule.evidence for place in by_id().get(proof.recorded, [])]


def all_rules() -> list[OverrideRule]:
    from dsbridge.cli.rulepage import all_layers

    return [rule for layer in all_layers(None) for rule in layer.rules]


GROUPS = 8


@pytest.mark.table
@pytest.mark.parametrize("group", range(GROUPS))
def test_without_any_one_rule_a_recorded_case_fails(group: int) -> None:
    idle, needless = [], []
    for rule in all_rules()[group::GROUPS]:
        if rule.asked is not None:
            continue  # a note changes no value; its example and its recorded case are tested below
        places = by_rule().get(rule.code, []) + evident(rule)
        if not places:
            idle.append(rule.code)
        elif not any(check(rows(path)[at], Without(rule.code)) for path, at in places):
            needless.append(rule.code)
    assert not idle, f"act in no recorded case: {idle}"
    assert not needless, f"could go and no recorded case would notice: {needless}"


@pytest.mark.table
@pytest.mark.parametrize("group", range(GROUPS))
def test_the_evidence_of_every_rule_names_a_recorded_case_in_which_it_acts(group: int) -> None:
    known: dict[str, list[dict[str, Any]]] = {}
    for path in FILES:
        for row in rows(path):
            known.setdefault(row["id"], []).append(row)
    wrong = []
    for rule in all_rules()[group::GROUPS]:
        for proof in rule.evidence:
            cases = known.get(proof.recorded, [])
            if not cases:
                wrong.append(f"{rule.code}: no recorded case {proof.recorded}")
            elif not any(rule.code in acting(predicted(row)) for row in cases):
                wrong.append(f"{rule.code} does not act in {proof.recorded}")
    assert not wrong, "\n".join(wrong)
