"""A DeepSpeed config is read as hjson reads it, also where json does the work."""

from __future__ import annotations

import json
from typing import Any

import hjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dsbridge.deepspeed.file import read_config
from dsbridge.reading import Files

VALUES = st.recursive(
    st.one_of(st.text(max_size=10), st.integers(), st.floats(), st.booleans(), st.none()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


def read(text: str) -> Any:
    return read_config(Files(memory={"ds.json": text}), "ds.json")


@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=4), st.sampled_from([None, 2]))
@example({"a": 2.0, "b": 5e8, "c": 1e12, "d": -0.0, "e": float("nan"), "f": "\ud83d\ude00"}, None)
def test_json_is_read_as_hjson_reads_it(value: dict[str, Any], indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    try:
        wanted = hjson.loads(text)
    except ValueError:
        return
    assert json.dumps(read(text).value) == json.dumps(wanted)


@pytest.mark.parametrize(
    ("text", "kind"),
    [('{"a": 1, "a": 2}', "ValueError"), ('{"a": 1e400}', "OverflowError"), ("{a: [}", "HjsonDecodeError")],
)
def test_what_hjson_refuses_is_told(text: str, kind: str) -> None:
    problem = read(text).problem
    assert problem is not None
    assert problem["type"] == kind
