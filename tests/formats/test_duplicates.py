"""Keys that a text says twice, with both places."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from dsbridge.formats.duplicates import duplicates


def said(text: str) -> list[tuple[object, ...]]:
    return [(d.path, d.first.line, d.last.line, d.last.column, d.same) for d in duplicates(text, "f")]


def test_json_at_any_depth() -> None:
    text = '{"a": 1,\n "b": [{"c": 1,\n\t"c": 1}],\n "a": 2}'
    assert said(text) == [(("b", 0, "c"), 2, 3, 2, True), (("a",), 1, 4, 2, False)]


def test_yaml_blocks() -> None:
    assert said("a: 1\nb:\n  c: [1]\n  c: [2]\na: 1\n") == [
        (("b", "c"), 3, 4, 3, False),
        (("a",), 1, 5, 1, True),
    ]


def test_what_is_neither_has_none() -> None:
    assert said("{a: [}") == []
    assert said("") == []


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_a_value_that_was_written_out_has_none(value: object) -> None:
    assert duplicates(json.dumps(value), "f") == []


@given(st.text())
def test_any_text_is_looked_at(text: str) -> None:
    duplicates(text, "f")
