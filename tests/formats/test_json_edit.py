"""JSON texts, edited: the old value with only that change, and all other letters as they were."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dsbridge.diagnostics import Edit
from dsbridge.formats.json import read_json
from dsbridge.formats.json_edit import edit_json
from dsbridge.formats.tree_edit import NotApplicable, edited, same, value_at
from dsbridge.values import UNSET

TEXT = """{
  // how it is sharded
  "zero_optimization": {
    "stage": 2, // two
    "overlap_com": true,
    /* offload */
    "offload_param": {"device": "cpu", "pin": 1}
  },
  "steps_per_print": 10,   # often
  "list": [1, 2, 3]
}
"""


def edit(*path: str | int, action: str = "remove", value: Any = None) -> Edit:
    return Edit("ds.json", path, action, value)


Z = "zero_optimization"
CHANGES = [
    (edit(Z, "overlap_com", action="rename", value="overlap_comm"), '"overlap_com"', '"overlap_comm"'),
    (edit(Z, "stage", action="set", value=3), '"stage": 2,', '"stage": 3,'),
    (edit(Z, "stage"), '    "stage": 2, // two\n', ""),
    (edit(Z, "offload_param", "pin"), ', "pin": 1', ""),
    (edit(Z, "offload_param", "device"), '"device": "cpu", ', ""),
    (edit("steps_per_print"), '  "steps_per_print": 10,   # often\n', ""),
    (edit("list"), ',   # often\n  "list": [1, 2, 3]', "   # often"),
    (edit("list", 1), "1, 2, 3", "1, 3"),
    (edit("list", 2), "1, 2, 3", "1, 2"),
    (edit("x", action="set", value=1), "[1, 2, 3]\n", '[1, 2, 3],\n  "x": 1\n'),
    (edit(Z, "offload_param", "x", action="set", value=None), '"pin": 1', '"pin": 1, "x": null'),
    (edit("a", "b", action="set", value=[]), "[1, 2, 3]\n", '[1, 2, 3],\n  "a": {"b": []}\n'),
]


@pytest.mark.parametrize(("change", "old", "new"), CHANGES)
def test_only_the_touched_key_changes(change: Edit, old: str, new: str) -> None:
    assert TEXT.count(old) == 1
    assert edit_json(TEXT, change) == TEXT.replace(old, new)


def test_a_key_moves_with_its_value() -> None:
    after = read_json(edit_json(TEXT, edit("list", action="move", value=(Z, "l"))), comments=True).value
    assert (after[Z]["l"], "list" in after) == ([1, 2, 3], False)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (edit("nothing"), "is not there any more"),
        (edit("list", action="rename", value="steps_per_print"), "is there already"),
        (edit("zero_optimization", action="move", value=("zero_optimization", "x")), "into itself"),
        (edit("list", "x", action="set", value=1), "no mapping"),
        (edit("list", action="turn"), "nobody knows the action"),
        (Edit("ds.json", (), "remove"), "names no key"),
    ],
)
def test_what_does_not_apply_is_said(change: Edit, reason: str) -> None:
    with pytest.raises(NotApplicable, match=reason):
        edit_json(TEXT, change)


@pytest.mark.parametrize("text", ["{a: 1}", '{"a": bare word\n}', "{", "[", '{"a" 1}', '{"a": 1}}'])
def test_more_than_json_is_left_alone(text: str) -> None:
    with pytest.raises(NotApplicable):
        edit_json(text, edit("a"))


def test_of_equal_keys_the_last_counts() -> None:
    text = '{"a": 1, "b": 0, "a": 2}'
    assert edit_json(text, edit("a")) == '{"b": 0}'
    assert edit_json(text, edit("a", action="set", value=3)) == '{"b": 0, "a": 3}'


def test_line_ends_stay() -> None:
    text = '{\r\n  "a": 1,\r\n  "b": 2\r\n}\r\n'
    assert edit_json(text, edit("a")) == '{\r\n  "b": 2\r\n}\r\n'
    assert edit_json(text, edit("b")) == '{\r\n  "a": 1\r\n}\r\n'
    assert edit_json(text, edit("c", action="set", value=3)) == text.replace("2\r", '2,\r\n  "c": 3\r')


KEYS = st.sampled_from(["a", "b", "c\n", "é", "", "//", 'q"'])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
TREES = st.dictionaries(KEYS, VALUES, min_size=1, max_size=5)
STYLES = st.sampled_from([{}, {"indent": 2}, {"indent": "\t"}, {"separators": (",", ":")}, {"indent": 4}])


def paths(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for key, item in inner for path in [(*above, key), *paths(item, (*above, key))]]


@st.composite
def edits(draw: st.DrawFn, tree: Any) -> Edit:
    path = draw(st.sampled_from(paths(tree)))
    action = draw(st.sampled_from(["set", "remove", "rename", "move", "add"]))
    if action == "set":
        return Edit("f", path, "set", draw(VALUES))
    if action == "add":
        return Edit("f", (*path[:-1], draw(KEYS), draw(KEYS)), "set", draw(VALUES))
    if action == "move":
        return Edit("f", path, "move", tuple(draw(st.lists(KEYS, min_size=1, max_size=3))))
    return Edit("f", path, action, draw(KEYS))


def lose(draw: st.DrawFn, text: str) -> str:
    """The same JSON with comments at the ends of some lines."""
    lines = text.split("\n")
    for number in range(len(lines)):
        if draw(st.booleans()) and lines[number].rstrip()[-1:] in (",", "{", "["):
            lines[number] += draw(st.sampled_from(["  // note, {", " # more: 1", " /* x */"]))
    return "\n".join(lines)


@st.composite
def cases(draw: st.DrawFn, comments: bool) -> tuple[str, Any, Edit]:
    tree = draw(TREES)
    text = json.dumps(tree, ensure_ascii=draw(st.booleans()), **draw(STYLES))
    return (lose(draw, text) if comments else text), tree, draw(edits(tree))


@given(cases(comments=False))
def test_json_loads_gives_the_old_value_with_only_that_change(case: tuple[str, Any, Edit]) -> None:
    text, tree, change = case
    try:
        expected = edited(tree, change)
    except NotApplicable:
        with pytest.raises(NotApplicable):
            edit_json(text, change)
        return
    after = edit_json(text, change)
    assert same(json.loads(after), expected)
    if change.action == "rename" and isinstance(change.path[-1], str):
        before = list(value_at(tree, change.path[:-1]))
        place = before.index(change.path[-1])
        assert list(value_at(json.loads(after), change.path[:-1]))[place] == change.value


def read_again(case: tuple[str, Any, Edit]) -> tuple[str, Any, Edit]:
    """With the value as its reader has it: to hjson 0.0 is 0."""
    return case[0], read_json(case[0], comments=True).value, case[2]


@given(cases(comments=True))
@example(('{"a": 1, // note, {\n "b": 2}', {"a": 1, "b": 2}, Edit("f", ("b",), "remove")))
def test_comments_stay_but_for_those_of_the_key(case: tuple[str, Any, Edit]) -> None:
    text, tree, change = read_again(case)
    if value_at(tree, change.path) is UNSET or change.action != "set":
        return
    after = edit_json(text, change)
    assert same(read_json(after, comments=True).value, edited(tree, change), loosely=True)
    first, *_ = text.split("\n")
    if change.path != (next(iter(tree)),):
        assert after.split("\n")[0][:3] == first[:3]


@given(cases(comments=True))
def test_with_comments_an_edit_is_right_or_refused(case: tuple[str, Any, Edit]) -> None:
    text, tree, change = read_again(case)
    try:
        after = edit_json(text, change)
    except NotApplicable:
        return
    assert same(read_json(after, comments=True).value, edited(tree, change), loosely=True)
