"""The fold: moments, snapshots, conflicts, refusals in order, Unknown, and what is remembered."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from dsbridge.resolve import Outcome, RuleConflict, resolve
from dsbridge.rulebook import (
    UNSET,
    Call,
    Evidence,
    Layer,
    Moment,
    OverrideRule,
    Phase,
    Range,
    Refusal,
    Unknown,
    all_of,
    always,
    eq,
    fact,
    get,
    here,
    is_auto,
    is_set,
    leaves,
    less,
    mul,
    text,
)
from dsbridge.rules import applies, numbers

MOMENTS = (
    Moment("one", Phase.INIT, "first"),
    Moment("two", Phase.PREPARE, "second"),
    Moment("engine", Phase.ENGINE, "inside DeepSpeed"),
)
PROGRAM = ("one", "two", "engine")
PROOF = (Evidence("accelerate", "1.15.0", "a.py", "1", "x = 1", "case"),)


def rule(code: str, moment: str, when: Any = None, **more: Any) -> OverrideRule:
    return OverrideRule(code, f"title {code}", "toy", moment, when or always(), "why", PROOF, {}, {}, **more)


def run(
    *rules: OverrideRule, facts: Any = None, versions: Any = None, program: Any = PROGRAM, **trees: Any
) -> Outcome:
    return resolve([Layer("toy", MOMENTS, rules)], program, trees, facts or {}, versions or {})


FILL = rule("T2", "one", is_auto(get("ds.micro")), writes="ds.micro", value=get("args.batch"))
TOTAL = rule(
    "T3", "two", is_auto(get("ds.total")), writes="ds.total", value=mul(get("ds.micro"), fact("world_size"))
)
PRINT = rule("T1", "one", writes="ds.steps_per_print", value=float("inf"))
DROP = rule("T4", "engine", writes=leaves("engine.zero", is_auto(here())), value=UNSET)
DS = {"micro": "auto", "total": "auto", "zero": {"stage": "auto", "k": 1}}


def test_moments_follow_each_other_and_the_engine_has_its_own_tree() -> None:
    out = run(FILL, TOTAL, PRINT, DROP, ds=DS, args={"batch": 4}, facts={"world_size": 2})
    assert out.config == {
        "micro": 4,
        "total": 8,
        "zero": {"stage": "auto", "k": 1},
        "steps_per_print": float("inf"),
    }
    assert out.trees["engine"]["zero"] == {"k": 1}
    assert [step.rule.code for step in out.steps["ds.micro"]] == ["T2"]
    assert out.steps["ds.micro"][0].origin == "args.batch"
    assert out.steps["ds.micro"][0].before == "auto"
    assert DS["micro"] == "auto", "the input is not changed"


def test_the_order_of_the_table_does_not_matter() -> None:
    rules = (FILL, TOTAL, PRINT, DROP)
    outcomes = [
        run(*order, ds=DS, args={"batch": 4}, facts={"world_size": 2}).config
        for order in itertools.permutations(rules)
    ]
    assert all(outcome == outcomes[0] for outcome in outcomes)


def test_rules_of_one_moment_see_its_start() -> None:
    early = rule("T5", "one", eq(get("ds.micro"), 4), writes="ds.seen", value=True)
    assert "seen" not in run(FILL, early, ds=DS, args={"batch": 4}).config


def test_two_writers_of_one_path_are_an_error_that_names_both() -> None:
    with pytest.raises(RuleConflict, match=r"T1 and T9 both write ds\.steps_per_print in moment one"):
        run(PRINT, rule("T9", "one", writes="ds.steps_per_print", value=1), ds={})


def test_an_unknown_moment_is_an_error() -> None:
    with pytest.raises(RuleConflict, match="no layer has"):
        run(ds={}, program=("nowhere",))


def test_a_missing_fact_makes_the_field_unknown() -> None:
    out = run(FILL, TOTAL, ds=DS, args={"batch": 4})
    assert out.config["total"] == Unknown(frozenset({"world_size"}))


def test_a_condition_nobody_can_decide_makes_the_field_unknown() -> None:
    maybe = rule("T5", "one", eq(fact("colour"), "red"), writes="ds.micro", value=1)
    assert run(maybe, ds=DS).config["micro"] == Unknown(frozenset({"colour"}))


def test_an_undecided_rule_that_would_change_nothing_changes_nothing() -> None:
    maybe = rule("T5", "one", eq(fact("colour"), "red"), writes="ds.micro", value="auto")
    assert run(maybe, ds=DS).config["micro"] == "auto"


REFUSE = rule(
    "T6", "two", is_set(get("ds.bad")),
    refuses=Refusal("ValueError", text("bad is {0}", get("ds.bad")), ("ds.bad",)),
)  # fmt: skip


def test_the_first_refusal_ends_the_run() -> None:
    second = rule("T7", "two", refuses=Refusal("TypeError", "later", ("ds.x",)))
    out = run(REFUSE, second, TOTAL, ds={**DS, "bad": 3})
    assert out.refused
    assert (out.refused.type, out.refused.message, out.refused.fields) == (
        "ValueError",
        "bad is 3",
        ("ds.bad",),
    )
    assert out.refused.phase is Phase.PREPARE
    assert out.config is None
    assert "ds.total" not in out.steps, "nothing of the moment is written"


def test_a_refusal_that_depends_on_a_fact_is_kept_as_a_maybe() -> None:
    maybe = rule("T8", "one", eq(fact("colour"), "red"), refuses=Refusal("ValueError", "red", ("ds.x",)))
    out = run(maybe, ds={})
    assert out.refused is None
    assert [(m.rule.code, m.needs) for m in out.maybe] == [("T8", frozenset({"colour"}))]


def test_without_a_config_deepspeed_is_not_called() -> None:
    out = run(PRINT._replace(when=is_set(get("ds"))), DROP, args={})
    assert out.config is None
    assert "engine" not in out.trees


def test_a_note_is_remembered_and_writes_nothing() -> None:
    note = rule("T9", "two", is_set(get("args.clip")), writes="ds.clip", asked=get("args.clip"))
    out = run(note, ds={}, args={"clip": 0.5})
    assert out.config == {}
    assert [(step.rule.code, step.before, step.origin) for step in out.notes] == [("T9", 0.5, "args.clip")]


def test_a_misused_operation_is_an_unknown_that_names_the_rule() -> None:
    broken = rule("T5", "one", less(get("ds.micro"), 2), writes="ds.x", value=1)
    needs = run(broken, ds=DS).config["x"].needs
    assert any("T5" in need for need in needs)


CALL = Call("zero.Init", eq(get("ds.stage"), 3), "copy", ("engine",))
THROUGH = ("one", CALL, "two", "engine")
NO_NEGATIVE = rule(
    "T6", "engine", less(get("engine.n"), 0), refuses=Refusal("AssertionError", "negative", ("ds.n",))
)  # fmt: skip


def test_a_call_looks_at_another_tree_and_keeps_only_its_refusal() -> None:
    out = run(NO_NEGATIVE, ds={"stage": 3, "n": 1}, copy={"n": -1}, program=THROUGH)
    assert out.refused
    assert out.refused.rule.code == "T6"
    fine = run(
        NO_NEGATIVE,
        DROP,
        ds={"stage": 3, "n": 1},
        copy={"n": 2, "zero": {"a": "auto"}},
        program=THROUGH,
    )
    assert fine.refused is None
    assert fine.config == {"stage": 3, "n": 1}
    assert "engine.zero.a" not in fine.steps
    assert run(NO_NEGATIVE, ds={"stage": 2, "n": 1}, copy={"n": -1}, program=THROUGH).refused is None


def test_a_call_that_may_happen_may_refuse() -> None:
    call = CALL._replace(when=all_of(eq(fact("pretrained"), True)))
    out = run(NO_NEGATIVE, ds={"n": 1}, copy={"n": -1}, program=(call, "engine"))
    assert out.refused is None
    assert [(m.rule.code, m.needs) for m in out.maybe] == [("T6", frozenset({"pretrained"}))]


@pytest.mark.parametrize(
    ("version", "since", "until", "holds"),
    [
        ("0.19.8", "0.19.6", "", True),
        ("0.19.5", "0.19.6", "", False),
        ("0.19.6", "0.19.6", "0.20", True),
        ("0.20.0", "", "0.20", False),
        ("0.19.8.post1", "0.19.8", "", True),
        ("0.19.8+cpu", "", "0.19.9", True),
    ],
)
def test_version_ranges(version: str, since: str, until: str, holds: bool) -> None:
    ranged = rule("T1", "one", versions=(Range("deepspeed", since, until),))
    assert applies(ranged, {"deepspeed": version}) is holds


def test_an_unknown_version_counts_as_the_newest() -> None:
    assert applies(rule("T1", "one", versions=(Range("x", "1.0"),)), {})
    assert not applies(rule("T1", "one", versions=(Range("x", "", "1.0"),)), {})


def test_numbers_of_a_version() -> None:
    assert numbers("1.6.0.dev0") == (1, 6, 0)
    assert numbers("4.51rc1") == (4, 51)
    assert numbers("main") == ()


def test_a_rule_needs_no_order_between_layers() -> None:
    one, two = Layer("a", MOMENTS[:1], (FILL,)), Layer("b", MOMENTS[1:], (TOTAL,))
    trees = {"ds": DS, "args": {"batch": 4}}
    first = resolve([one, two], PROGRAM, trees, {"world_size": 2}, {})
    assert first.config == resolve([two, one], PROGRAM, trees, {"world_size": 2}, {}).config
