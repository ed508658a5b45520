"""JSON with places, as Python's json module reads it; and what DeepSpeed's hjson reads."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsbridge.diagnostics import InputError
from dsbridge.formats.json import json_error, read_json

TEXT = """{
  "zero_optimization": {"stage": 2,
     "offload": {"device": "cpu"}},
  "betas": [0.9, 0.999],
  "a\\u0062c": "x // no comment",
  "empty": {}
}
"""


def test_places() -> None:
    found = read_json(TEXT, "ds.json")
    assert found.value["betas"] == [0.9, 0.999]
    assert str(found.values["zero_optimization", "stage"]) == "ds.json:2:34"
    assert str(found.values["zero_optimization", "offload", "device"]) == "ds.json:3:28"
    assert str(found.keys["zero_optimization", "offload"]) == "ds.json:3:6"
    assert str(found.values["betas", 1]) == "ds.json:4:18"
    assert str(found.values["abc",]) == "ds.json:5:15"
    assert str(found.values["empty",]) == "ds.json:6:12"


def test_the_last_of_two_keys_counts() -> None:
    found = read_json('{"a": 1,\n "a": 2}')
    assert found.value == {"a": 2}
    assert found.values["a",].line == 2


@pytest.mark.parametrize("text", ['{"a": 1,}', "{'a': 1}", '{"a": 1} // c', "", "{", '{"a": True}'])
def test_not_json(text: str) -> None:
    with pytest.raises(InputError) as caught:
        read_json(text, "ds.json")
    (finding,) = caught.value.diagnostics
    assert finding.code == "IN002"
    assert finding.file == "ds.json"
    assert finding.line
    assert json_error(text).endswith(")")


def test_what_deepspeed_reads() -> None:
    text = '{\n  // two\n  "a": 2, # why\n  b: {"c": [1, 2,],},\n}'
    found = read_json(text, "ds.json", comments=True)
    assert found.value == {"a": 2, "b": {"c": [1, 2]}}
    assert type(found.value["b"]) is dict
    assert found.values["a",].line == 3
    assert found.values["b", "c", 1].line == 4


def test_neither() -> None:
    with pytest.raises(InputError, match="neither JSON nor Hjson"):
        read_json("{]", "ds.json", comments=True)


@pytest.mark.parametrize("comments", [True, False])
def test_nested_too_deep(comments: bool) -> None:
    with pytest.raises(InputError):
        read_json("[" * 100_000, comments=comments)
    with pytest.raises(InputError):
        read_json("[" * 500 + "]" * 500, comments=comments)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES, st.sampled_from([None, 1, 4]))
def test_every_value_has_its_place(value: object, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    found = read_json(text, "x")
    assert found.value == value
    for path in paths(value):
        assert path in found.values, path
    lines = text.split("\n")
    for source in found.values.values():
        assert source.line
        assert source.column
        assert lines[source.line - 1][source.column - 1 :].strip()


def paths(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(inner for key, item in items for inner in paths(item, (*path, key)))]


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    for comments in (False, True):
        try:
            read_json(text, comments=comments)
        except InputError as error:
            assert error.diagnostics
