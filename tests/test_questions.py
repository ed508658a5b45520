"""Answers that are kept are those that would be given: each config is resolved both ways."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.check_speed import copy, originals
from dsbridge.checking.running import Report, check_units
from dsbridge.checking.units import units_of
from dsbridge.deepspeed.blocks import Blocks
from dsbridge.language.reads import reads
from dsbridge.questions import Answers, Moment, View, asked
from dsbridge.reading import Files
from dsbridge.rulebook import all_of, children, eq, get, here, is_auto, is_set, item, missing, table
from dsbridge.rulebook import block_values as made
from dsbridge.trees import block_token
from dsbridge.values import UNSET, Unknown
from tests.batches import case
from tests.meta.test_rules import BATCHES, view

STAGE = item(made(get("engine.zero_optimization"), "zero_optimization", table("blocks")), "stage")
CORPUS = os.environ.get("DSBRIDGE_CORPUS", "")


def plainly(self: Moment, view: View) -> Answers:
    """Every condition asked, nothing kept."""
    every = ((n, q, asked(q.rule.when, view, q.rule.code)) for n, q in enumerate(self.questions))
    return [one for one in every if one[2] is not False]


def texts() -> Iterator[str]:
    """Real configs, each with other numbers after the next ones."""
    folder = Path(CORPUS) if CORPUS else None
    for number in range(3):
        yield from (copy(text, number) for text in originals(folder))


def checked(configs: list[str]) -> list[Report]:
    return [check_units(units_of(Files(memory={"ds.json": text}), ["ds.json"])[0]) for text in configs]


def test_findings_are_those_of_conditions_that_are_all_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    configs = list(texts())
    kept = checked(configs)
    monkeypatch.setattr(Moment, "answers", plainly)
    assert kept == checked(configs)
    assert any(report.findings for report in kept)


@pytest.mark.parametrize("several", BATCHES)
def test_an_example_gets_the_same_answer_again(several: list[Any]) -> None:
    for name, (layer, rule) in several:
        with case(name):
            from dsbridge.questions import Question

            question = Question(rule)
            for example in (rule.fires, rule.holds, rule.fires, rule.holds):
                seen = view(layer, rule, dict(example))
                assert question.answer(seen) == asked(rule.when, seen, rule.code)


def test_a_field_of_a_block_is_read_as_one_value() -> None:
    names = reads(eq(STAGE, 3))
    assert names is not None
    (name,) = names
    tables = {"blocks": Blocks("0.19.8")}
    trees: Any = {"engine": {"zero_optimization": {"stage": 3, "reduce_bucket_size": 1000}}}
    other: Any = {"engine": {"zero_optimization": {"stage": 3, "reduce_bucket_size": 2000}}}
    one, two = View(trees, {}, tables), View(other, {}, tables)
    assert one.tokens[name] == two.tokens[name]
    trees["engine"]["zero_optimization"]["stage"] = 2
    one.forget("engine.zero_optimization.stage")
    assert one.tokens[name] != two.tokens[name]


@pytest.mark.parametrize("written", ["engine", "engine.a", "engine.a.b", "engine.a.b.c"])
def test_what_is_around_and_inside_a_written_path_is_forgotten(written: str) -> None:
    trees: Any = {"engine": {"a": {"b": {"c": 1}}, "x": 1}, "ds": {"a": 1}}
    view = View(trees, {}, {})
    before = [view.tokens[path] for path in ("engine.a", "engine.a.b", "engine.a.b.c", "ds.a")]
    trees["engine"] = {"a": {"b": {"c": 2}}, "x": 1}
    view.forget(written)
    after = [view.tokens[path] for path in ("engine.a", "engine.a.b", "engine.a.b.c", "ds.a")]
    assert [a == b for a, b in zip(before, after, strict=True)] == [False, False, False, True]


def test_what_names_do_not_say_is_not_kept() -> None:
    assert reads(is_auto(here())) is None
    assert reads(is_set(get("engine"))) is None
    found = reads(all_of(missing(get("a.b")), is_set(children("engine.a", is_auto(here())))))
    assert found is not None
    assert len(found) == 2  # the keys that are chosen are one value


def test_an_unknown_inside_a_block_has_a_token() -> None:
    trees: Any = {"init": {"optimizer": {"class": Unknown(frozenset({"x"}))}}, "ds": {"odd": {"a": object()}}}
    view = View(trees, {}, {})
    hash(view.tokens["init.optimizer"])
    trees["ds"]["list"] = [["class", Unknown(frozenset({"x"}))]]
    assert view.tokens["ds.list"] != view.tokens["init.optimizer"]
    with pytest.raises(TypeError):
        hash(view.tokens["ds.odd"])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(VALUES, VALUES)
def test_tokens_tell_json_values_apart_and_nothing_else(one: Any, other: Any) -> None:
    same = json.dumps(one) == json.dumps(other)
    assert (block_token(one) == block_token(other)) == same
    assert block_token(one) == block_token(json.loads(json.dumps(one)))
    assert block_token({"a": [UNSET]}) == b""
