"""The table of rules audits itself: names, moments, evidence, examples, notes."""

from __future__ import annotations

import re
from typing import Any

import pytest

from dsbridge.cli.rulepage import all_layers, effect, rule_text, versions_text
from dsbridge.language import evaluate
from dsbridge.questions import View
from dsbridge.rules import Call, Layer, Loudness, OverrideRule
from dsbridge.trees import store
from dsbridge.values import Unknown
from tests.batches import batches, case

LAYERS = all_layers(None)
RULES = [(layer, rule) for layer in LAYERS for rule in layer.rules]
BATCHES = batches([(rule.code, (layer, rule)) for layer, rule in RULES])
FIVE = {"deepspeed", "accelerate", "trainer", "llamafactory", "xtuner"}


def view(layer: Layer, rule: OverrideRule, example: dict[str, Any]) -> View:
    """The trees and facts of an example, with the tables of a version in which the rule holds."""
    trees: dict[str, Any] = {}
    facts: dict[str, Any] = {}
    for path, value in example.items():
        root, _, rest = path.partition(".")
        if root == "fact":
            facts[rest] = value
        elif not rest:
            trees[root] = value
        else:
            store(trees.setdefault(root, {}), rest, value)
    versions = {proof.package: proof.version for proof in rule.evidence}
    return View(trees, facts, Tables(layer, versions))


class Tables(dict[str, Any]):
    def __init__(self, layer: Layer, versions: dict[str, str]) -> None:
        super().__init__()
        self.layer, self.versions = layer, versions

    def __missing__(self, name: str) -> Any:
        return self.layer.tables[name](self.versions)


def test_every_framework_has_rules_and_a_program_of_known_moments() -> None:
    from dsbridge.plugins import registry

    assert {layer.name for layer in LAYERS} >= FIVE
    for name in FIVE:
        reader = registry().frameworks[name].reader
        assert reader is not None
        found = reader()
        moments = {m.name for layer in all_layers(name) for m in layer.moments}
        for entry in found.program:
            names = entry.moments if isinstance(entry, Call) else (entry,)
            assert set(names) <= moments, f"{name}: {entry}"


def test_codes_are_unique_and_well_formed() -> None:
    from dsbridge.cli.rulepage import diagnostic_codes

    codes = [rule.code for _, rule in RULES]
    assert len(codes) == len(set(codes))
    assert not set(codes) & set(diagnostic_codes())
    assert all(re.fullmatch(r"[A-Z]{2,5}[0-9]{3}", code) for code in codes)


@pytest.mark.parametrize("several", BATCHES)
def test_every_rule_is_complete(several: list[Any]) -> None:
    for name, (layer, rule) in several:
        with case(name):
            assert rule.layer == layer.name
            assert rule.moment in {moment.name for moment in layer.moments}
            assert rule.evidence, "a rule without evidence is a rumour"
            assert rule.title
            assert rule.why.endswith(".")
            assert not rule.title.endswith(".")
            kinds = [rule.refuses is not None, rule.asked is not None, rule.value is not None]
            assert bool(rule.writes) != (rule.refuses is not None)
            assert any(kinds) or rule.writes
            if rule.refuses is not None:
                assert rule.loudness is Loudness.RAISES
                assert rule.hint, "what should the user do?"
            for proof in rule.evidence:
                assert proof.package
                assert proof.version
                assert proof.quote.strip()
                assert re.fullmatch(r"[0-9]+(-[0-9]+)?", proof.lines)


@pytest.mark.parametrize("several", BATCHES)
def test_every_rule_fires_and_holds_on_its_examples(several: list[Any]) -> None:
    for name, (layer, rule) in several:
        with case(name):
            assert rule.fires != rule.holds
            assert acts(layer, rule, dict(rule.fires)) is True
            assert acts(layer, rule, dict(rule.holds)) is False


def acts(layer: Layer, rule: OverrideRule, example: dict[str, Any]) -> bool:
    seen = view(layer, rule, example)
    held = evaluate(rule.when, seen)
    assert not isinstance(held, Unknown), f"the example leaves open: {held}"
    if not held or isinstance(rule.writes, str):
        return bool(held)
    paths = evaluate(rule.writes, seen)
    assert not isinstance(paths, Unknown)
    return bool(paths)


@pytest.mark.parametrize("several", BATCHES)
def test_every_rule_can_be_told(several: list[Any]) -> None:
    for name, (layer, rule) in several:
        with case(name):
            lines = rule_text(layer, rule)
            assert rule.code in lines[0]
            assert "Expr(" not in "\n".join(lines)
            assert effect(rule)
            assert versions_text(rule)
