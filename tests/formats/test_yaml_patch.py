"""YAML texts, edited: the old value with only that change, and all other letters as they were."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dsbridge.diagnostics import Edit
from dsbridge.formats.tree_edit import NotApplicable, edited, same
from dsbridge.formats.yaml_patch import edit_yaml
from tests.formats.test_json_edit import TREES, VALUES, edits

TEXT = """### model
model: Qwen/Qwen2.5-7B   # the base
empty:

# how it is trained
deepspeed_config:
  zero_stage: 3
  # offload
  offload: cpu  # to the host
flow: {a: 1, b: [1, 2, 3]}
list:
  - name: x
    size: 1
  - y
text: |
  two
  lines
"last": 1.0e-5
"""


def edit(*path: str | int, action: str = "remove", value: Any = None) -> Edit:
    return Edit("f.yaml", path, action, value)


D = "deepspeed_config"
CHANGES = [
    (edit("model", action="rename", value="model_name_or_path"), "model: Qwen", "model_name_or_path: Qwen"),
    (edit("model", action="set", value="yes"), "Qwen/Qwen2.5-7B", "'yes'"),
    (edit("empty", action="set", value=1), "empty:", "empty: 1"),
    (edit(D, "zero_stage", action="set", value=2), "zero_stage: 3", "zero_stage: 2"),
    (edit(D, "zero_stage"), "  zero_stage: 3\n", ""),
    (edit(D, "offload"), "  offload: cpu  # to the host\n", ""),
    (edit(D, "new", action="set", value="auto"), "  # to the host\n", "  # to the host\n  new: auto\n"),
    (edit("flow", "a"), "{a: 1, b", "{b"),
    (edit("flow", "b"), "{a: 1, b: [1, 2, 3]}", "{a: 1}"),
    (edit("flow", "b", 1), "1, 2, 3", "1, 3"),
    (edit("flow", "c", action="set", value=True), "3]}", "3], c: true}"),
    (edit("list", 0, "name"), "- name: x\n    size", "- size"),
    (edit("list", 1), "  - y\n", ""),
    (edit("text"), "text: |\n  two\n  lines\n", ""),
    (edit("text", action="set", value="one"), "text: |\n  two\n  lines\n", "text: one\n"),
    (edit("last", action="set", value=2e-5), "1.0e-5", "2.0e-05"),
    (edit("x", "y", action="set", value=1), "1.0e-5\n", "1.0e-5\nx:\n  y: 1\n"),
]


@pytest.mark.parametrize(("change", "old", "new"), CHANGES)
def test_only_the_touched_key_changes(change: Edit, old: str, new: str) -> None:
    assert TEXT.count(old) == 1
    assert edit_yaml(TEXT, change) == TEXT.replace(old, new)


def test_a_key_moves_with_its_value() -> None:
    after = edit_yaml(TEXT, edit("last", action="move", value=(D, "lr")))
    assert yaml.safe_load(after)[D]["lr"] == 1e-5
    assert "  offload: cpu  # to the host\n  lr: 1.0e-05\n" in after
    assert "last" not in after


def test_a_block_that_loses_all_its_keys_stays() -> None:
    assert edit_yaml("a:\n  b: 1\nc: 2\n", edit("a", "b")) == "a: {}\nc: 2\n"
    assert edit_yaml("a: 1\n", edit("a")) == "{}\n"


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("a: &x {b: 1}\nc: *x\n", edit("c", "b", action="set", value=2)),
        ("a: &x {b: 1}\nc: *x\n", edit("a")),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", edit("c", "b")),
        ("a: 1\n---\nb: 2\n", edit("a")),
        ("- a\n", edit("a")),
        ("a: 1\n", edit("b")),
        ("a: 1\nb: 2\n", edit("a", action="rename", value="b")),
    ],
)
def test_what_cannot_be_changed_safely_is_left_alone(text: str, change: Edit) -> None:
    with pytest.raises(NotApplicable):
        edit_yaml(text, change)


@given(TREES, st.data(), st.sampled_from([None, True, False]))
def test_an_edit_is_right_or_refused(tree: Any, data: st.DataObject, flow: bool | None) -> None:
    text = yaml.safe_dump(tree, default_flow_style=flow, allow_unicode=True)
    change = data.draw(edits(tree))
    try:
        after = edit_yaml(text, change)
    except NotApplicable:
        return
    assert same(yaml.safe_load(after), edited(yaml.safe_load(text), change))


# as people write them: a key of no letters, or of two lines, is `? ...` in YAML
NAMES = st.sampled_from(["a", "b_1", "é", "//", 'q"', "per device"])
PLAIN = st.dictionaries(NAMES, VALUES | st.dictionaries(NAMES, VALUES, max_size=3), min_size=1, max_size=5)


@given(PLAIN, st.data())
def test_plain_changes_of_a_block_are_never_refused(tree: Any, data: st.DataObject) -> None:
    text = yaml.safe_dump(tree, allow_unicode=True, default_flow_style=False)
    key = data.draw(st.sampled_from(list(tree)))
    changes = (edit(key), edit(key, action="rename", value="new"), edit("new", action="set", value=1))
    for change in changes:
        assert same(yaml.safe_load(edit_yaml(text, change)), edited(tree, change))


def test_keys_of_two_kinds_are_compared() -> None:
    """A cut that leaves `null` as a key beside a name is refused as wrong, and not stumbled over."""
    with pytest.raises(NotApplicable):
        edit_yaml('? "c\\n"\n: null\n', edit("c\n", action="move", value=("a", "a")))
