"""The language of rules: what each operation gives, three-valued logic, and words for everything."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsbridge import rulebook
from dsbridge.deepspeed.blocks import Blocks
from dsbridge.language import OPS, Expr, LanguageError, describe, evaluate, facts_in, paths_in
from dsbridge.rulebook import (
    UNSET,
    Unknown,
    add,
    all_digits,
    all_of,
    always,
    among,
    any_of,
    as_repr,
    at_most,
    block,
    block_problem,
    block_values,
    ceil,
    children,
    choose,
    count,
    counting,
    differs,
    div,
    elastic_batch,
    ends_with,
    eq,
    fact,
    first,
    first_set,
    floor_div,
    get,
    greatest,
    has,
    here,
    here_path,
    inside,
    is_a,
    is_auto,
    is_set,
    item,
    joined,
    keys,
    last_word,
    least,
    leaves,
    less,
    lines,
    listed,
    lower,
    merged,
    missing,
    mod,
    mul,
    no,
    one_of,
    pluck,
    prefixed,
    quietly,
    reads_as_float,
    reads_as_int,
    same,
    split,
    starts_with,
    sub,
    table,
    text,
    to_float,
    to_int,
    to_text,
    trouble,
    truthy,
    type_name,
    upper,
    values,
    without,
)
from dsbridge.trees import lookup


class View:
    """Trees, facts and tables of a test."""

    here = ("ds.a.b", 7)

    def __init__(self, **trees: Any) -> None:
        self.trees = trees

    def get(self, path: str) -> Any:
        return lookup(self.trees, path)

    def fact(self, name: str) -> Any:
        return {"world_size": 4}.get(name, Unknown(frozenset({name})))

    def table(self, name: str) -> Any:
        return {"names": ["a", "b"]}[name]


TREES = {
    "ds": {"stage": "auto", "n": 6, "zero": {"x": "auto", "y": {"z": "auto"}, "k": 1}, "none": None},
    "loaders": [{"batch_size": 4}, {"batch_size": 2}, {"other": 1}],
}
CLASSES = Blocks("0.19.8")
PROBLEM = {
    "type": "ValidationError",
    "message": "1 validation error for DeepSpeedZeroConfig\nfoo\n  Extra inputs are not permitted "
    "[type=extra_forbidden, input_value=1, input_type=int]\n    …",
    "fields": ["zero_optimization.foo"],
}
BF16 = {
    "enabled": False,
    "immediate_grad_update": False,
    "check_grad_overflow": True,
    "bf16_master_weights_and_grads": False,
    "bf16_optimizer_states": False,
}
CASES = [
    (get("ds.n"), 6),
    (get("ds.absent"), UNSET),
    (get("ds.n.deeper"), UNSET),
    (get("loaders.1.batch_size"), 2),
    (get("loaders.9.batch_size"), UNSET),
    (fact("world_size"), 4),
    (table("names"), ["a", "b"]),
    (here(), 7),
    (here_path(), "a.b"),
    (always(), True),
    (all_of(True, True), True),
    (any_of(False, False), False),
    (no(0), True),
    (choose(eq(get("ds.n"), 6), "six", "other"), "six"),
    (first_set(get("ds.absent"), get("ds.n")), 6),
    (first_set(get("ds.absent")), UNSET),
    (quietly(fact("nobody")), UNSET),
    (eq(1, 1.0), True),
    (eq(get("ds.absent"), 0), False),
    (same(1, True), False),
    (same("a", "a"), True),
    (differs(1, 2), True),
    (is_set(get("ds.none")), True),
    (missing(get("ds.none")), False),
    (is_auto(get("ds.stage")), True),
    (is_auto("AUTO"), False),
    (is_a(True, "int"), False),
    (is_a(True, "bool"), True),
    (is_a(None, "null", "dict"), True),
    (is_a(1.5, "number"), True),
    (one_of(get("ds.n"), [6, 7]), True),
    (one_of({}, frozenset({1})), False),
    (truthy(get("ds.absent")), False),
    (add(1, 2), 3),
    (sub(1, 2), -1),
    (mul(2, 3, 4), 24),
    (div(1, 4), 0.25),
    (floor_div(7, 2), 3),
    (mod(7, 2), 1),
    (trouble("//", 7, 0), {"type": "ZeroDivisionError", "message": "integer division or modulo by zero"}),
    (trouble("*", "a", 10**12), UNSET),
    (trouble("-", 2, 1), UNSET),
    (counting(2), ["0", "1"]),
    (block_problem({"stage": 2}, "zero_optimization", CLASSES), UNSET),
    (item(block_problem({"foo": 1}, "zero_optimization", CLASSES), "fields"), ["zero_optimization.foo"]),
    (block_problem({"foo": 1}, "zero_optimization", CLASSES), PROBLEM),
    (item(block_values({"stage": "2"}, "zero_optimization", CLASSES), "stage"), 2),
    (block_values({}, "bf16", CLASSES), BF16),
    (elastic_batch({"a": 1}, 2, lambda config, world: {**config, "b": world}), {"a": 1, "b": 2}),
    (ceil(1.2), 2),
    (less(1, 2), True),
    (at_most(2, 2), True),
    (to_int("7"), 7),
    (to_float("1e-4"), 1e-4),
    (least(3, 1, 2), 1),
    (greatest([3, 1]), 3),
    (reads_as_int("auto"), False),
    (reads_as_int("4"), True),
    (reads_as_float("x"), False),
    (reads_as_float("1e3"), True),
    (text("{0}/{1}", get("ds.n"), fact("nobody")), "6/…"),
    (lower("AbC"), "abc"),
    (upper("a"), "A"),
    (to_text(None), "None"),
    (as_repr("a"), "'a'"),
    (type_name(None), "NoneType"),
    (starts_with("auto", "au"), True),
    (ends_with("auto", "au"), False),
    (joined(["a", 1], ", "), "a, 1"),
    (last_word("ds.zero.stage"), "stage"),
    (inside("ds.zero.stage"), "zero.stage"),
    (prefixed(["a", "b"], "ds."), ["ds.a", "ds.b"]),
    (all_digits("12"), True),
    (all_digits("-1"), False),
    (all_digits(12), False),
    (split("a,b", ","), ["a", "b"]),
    (lines("a", UNSET, "b"), "a\nb"),
    (leaves("ds.zero", is_auto(here())), ["ds.zero.x", "ds.zero.y.z"]),
    (leaves("ds.absent", always()), []),
    (children("ds.zero", is_a(here(), "dict")), ["ds.zero.y"]),
    (keys(get("ds.zero")), ["x", "y", "k"]),
    (keys(3), []),
    (values(get("ds.zero")), ["auto", {"z": "auto"}, 1]),
    (pluck(get("loaders"), "batch_size"), [4, 2]),
    (without([1, 2, 3], [2]), [1, 3]),
    (among(["a", "z"], table("names")), ["a"]),
    (count(get("ds.absent")), 0),
    (count([1, 2]), 2),
    (first([]), UNSET),
    (first([5]), 5),
    (item({"a": 1}, "a"), 1),
    (item({"a": 1}, "b"), UNSET),
    (has({"a": 1}, "a"), True),
    (has(3, "a"), False),
    (merged({"a": 1}, {"a": 2}), {"a": 2}),
    (block({"device": "none", "gone": get("ds.absent")}), {"device": "none"}),
    (listed(get("ds.n"), 2), [6, 2]),
]


@pytest.mark.parametrize(("expression", "value"), CASES, ids=lambda v: str(v)[:60])
def test_values(expression: Expr, value: Any) -> None:
    found = evaluate(expression, View(**TREES))
    assert found == value
    assert type(found) is type(value)


def test_every_operation_is_tested_and_exported() -> None:
    tested = {case[0].op for case in CASES}
    assert tested >= set(OPS), sorted(set(OPS) - tested)
    assert set(OPS) <= set(rulebook.__all__)


@pytest.mark.parametrize(("expression", "value"), CASES, ids=lambda v: str(v)[:60])
def test_everything_can_be_described(expression: Expr, value: Any) -> None:
    words = describe(expression)
    assert words
    assert "Expr(" not in words
    assert str(expression) == words


NOBODY = fact("nobody")


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (all_of(NOBODY, False), False),
        (any_of(NOBODY, True), True),
        (choose(NOBODY, 1, 1), 1),
        (choose(True, 1, NOBODY), 1),
    ],
)
def test_the_rest_can_decide(expression: Expr, value: Any) -> None:
    assert evaluate(expression, View()) == value


@pytest.mark.parametrize(
    "expression",
    [
        all_of(NOBODY, True),
        any_of(NOBODY, False),
        choose(NOBODY, 1, 2),
        mul(NOBODY, 2),
        no(NOBODY),
        listed(1, NOBODY),
        lines("a", NOBODY),
        pluck(get("list"), "a"),
        get("blank.anything"),
        children("blank", always()),
        leaves("some", eq(here(), NOBODY)),
    ],
    ids=str,
)
def test_unknown_stays_unknown_with_its_needs(expression: Expr) -> None:
    needs = Unknown(frozenset({"nobody"}))
    view = View(blank=needs, some={"a": 1}, list=[{"a": needs}])
    assert evaluate(expression, view) == needs


def test_two_needs_are_joined() -> None:
    found = evaluate(mul(fact("a"), fact("b")), View())
    assert found == Unknown(frozenset({"a", "b"}))
    assert str(found) == "unknown (needs a, b)"


def test_a_misused_operation_names_itself() -> None:
    with pytest.raises(LanguageError, match=r"less\('auto', 2\): TypeError"):
        evaluate(less("auto", 2), View())


def test_what_an_expression_reads() -> None:
    expression = choose(eq(get("ds.a"), fact("world_size")), get("args.b"), mul(get("ds.a"), 2))
    assert set(paths_in(expression)) == {"ds.a", "args.b"}
    assert facts_in(expression) == ["world_size"]


def test_an_operation_exists_once() -> None:
    from dsbridge.language import op

    with pytest.raises(AssertionError, match="operation get exists"):

        @op("again")
        def get(value: Any) -> Any:
            return value


def test_constructors_keep_their_documentation() -> None:
    for name in OPS:
        assert inspect.getdoc(getattr(rulebook, name)), name


@given(st.lists(st.sampled_from([True, False, None])))
def test_all_of_and_any_of_are_opposites(values: list[bool | None]) -> None:
    arguments = [NOBODY if value is None else value for value in values]
    denied = [no(argument) for argument in arguments]
    both = evaluate(all_of(*arguments), View()), evaluate(any_of(*denied), View())
    unknown = [isinstance(value, Unknown) for value in both]
    assert unknown[0] == unknown[1]
    if not unknown[0]:
        assert both[0] is not both[1]
