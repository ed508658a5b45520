"""The index leaves out no rule that could act: without the paths that it waits for, each is surely false."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsbridge.language import Expr, evaluate
from dsbridge.rulebook import (
    UNSET,
    Unknown,
    all_of,
    any_of,
    eq,
    fact,
    first_set,
    get,
    is_a,
    is_auto,
    is_set,
    missing,
    no,
    one_of,
    table,
    truthy,
)
from dsbridge.ruleindex import Able, Index, wanted
from dsbridge.trees import lookup, store
from tests.batches import batches, case
from tests.meta.test_rules import RULES, view

INDEXED = [(layer, rule) for layer, rule in RULES if wanted(rule.when) is not None]
BATCHES = batches([(rule.code, (layer, rule)) for layer, rule in INDEXED])


def test_most_rules_wait_for_a_path() -> None:
    assert len(INDEXED) > 0.6 * len(RULES)


@pytest.mark.parametrize("several", BATCHES)
def test_without_what_it_waits_for_a_rule_is_false(several: list[Any]) -> None:
    for name, (layer, rule) in several:
        with case(name):
            paths = wanted(rule.when)
            assert paths is not None
            for example in (rule.fires, rule.holds):
                without: dict[str, Any] = {}
                for path in example:
                    if not any(path == p or path.startswith(f"{p}.") for p in paths):
                        without[path] = example[path]
                left = view(layer, rule, without)
                if any(left.get(path) is not UNSET for path in paths):
                    continue  # part of a block that the example gives whole
                assert evaluate(rule.when, left) is False
            assert any(view(layer, rule, dict(rule.fires)).get(path) is not UNSET for path in paths)


A, B = get("ds.a"), get("args.b.c")


@pytest.mark.parametrize(
    ("condition", "paths"),
    [
        (is_set(A), ("ds.a",)),
        (is_auto(A), ("ds.a",)),
        (is_a(A, "str"), ("ds.a",)),
        (truthy(A), ("ds.a",)),
        (eq(A, 3), ("ds.a",)),
        (eq(3, A), ("ds.a",)),
        (one_of(A, ("x", "y")), ("ds.a",)),
        (any_of(is_set(A), is_auto(B)), ("ds.a", "args.b.c")),
        (all_of(no(A), is_auto(B), is_set(A)), ("args.b.c",)),
        (is_auto(first_set(A, B)), ("ds.a", "args.b.c")),
        (missing(A), None),
        (no(is_set(A)), None),
        (eq(A, UNSET), None),
        (eq(A, B), None),
        (one_of(A, (UNSET, 1)), None),
        (one_of(A, table("names")), None),
        (any_of(is_set(A), eq(fact("x"), 1)), None),
        (is_auto(first_set(A, "auto")), None),
        (True, None),
    ],
    ids=str,
)
def test_what_a_condition_waits_for(condition: Expr, paths: tuple[str, ...] | None) -> None:
    assert wanted(condition) == (None if paths is None else set(paths))


def index(paths: list[str]) -> Index:
    made = Index({})
    for number, path in enumerate(paths):
        made.wait(path, "moment", number)
    return made


def known(able: Able) -> set[str]:
    return {PATHS[number] for number in able.numbers.get("moment", ())}


KEYS = st.sampled_from(["a", "b", "c"])
TREES = st.dictionaries(
    KEYS,
    st.recursive(
        st.one_of(st.integers(), st.none(), st.just(Unknown(frozenset({"x"})))),
        lambda inner: st.one_of(st.dictionaries(KEYS, inner), st.lists(inner, max_size=2)),
        max_leaves=6,
    ),
)
PATHS = [f"ds.{'.'.join(parts)}" for parts in ("a", "ab", "abc", "b", "a0", "b1a", "ca", "cab")]
PATHS.append("ds")


@given(TREES, st.sampled_from(PATHS), st.one_of(st.integers(), TREES))
def test_what_is_there_is_known_before_and_after_a_write(tree: Any, path: str, value: Any) -> None:
    trees: dict[str, Any] = {"ds": tree}
    found = index(PATHS).able(trees)
    assert {p for p in PATHS if lookup(trees, p) is not UNSET} == known(found)
    if path == "ds" or any(isinstance(lookup(trees, path.rsplit(".", n)[0]), list) for n in range(4)):
        return
    store(trees, path, value)
    found.add(path, lookup(trees, path))
    assert {p for p in PATHS if lookup(trees, p) is not UNSET} <= known(found)
