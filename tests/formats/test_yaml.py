"""YAML to a Document: values as YAML 1.2 has them, positions, bounds."""

from __future__ import annotations

import math
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dsbridge.diagnostics import InputError
from dsbridge.formats.yaml import read_yaml
from dsbridge.provenance import Source


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5e8", 5e8),
        ("1e-4", 1e-4),
        ("-.5", -0.5),
        ("1.", 1.0),
        ("+3", 3),
        ("1_000", 1000),
        ("0x10", 16),
        ("0o17", 15),
        ("017", 17),
        ("true", True),
        ("False", False),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("null", None),
        ("~", None),
        (".inf", math.inf),
        ("-.inf", -math.inf),
        ("1e", "1e"),
        ("1:30", "1:30"),
        ("2026-01-02", "2026-01-02"),
        ("'5e8'", "5e8"),
        ('"true"', "true"),
        ("!!str 5", "5"),
    ],
)
def test_scalars(text: str, value: Any) -> None:
    assert read_yaml(text).value == value
    assert type(read_yaml(text).value) is type(value)


def test_every_value_and_key_has_its_place() -> None:
    document = read_yaml("a: 1\nb:\n  - x\n  - {c: 2}\n", "f.yaml")
    assert document.at(("a",)) == Source("f.yaml", 1, 4)
    assert document.at(("b",), key=True) == Source("f.yaml", 2, 1)
    assert document.at(("b", 1, "c")) == Source("f.yaml", 4, 9)
    assert document.at(("b", 1, "absent")) == Source("f.yaml", 4, 5), "the nearest parent"


def test_all_duplicates_at_once() -> None:
    with pytest.raises(InputError) as error:
        read_yaml("a: 1\nb: {c: 1, c: 2}\na: 2\n")
    assert [(d.key, d.line) for d in error.value.diagnostics] == [("b.c", 2), ("a", 3)]


def test_aliases_are_followed() -> None:
    assert read_yaml("a: &x {b: 1}\nc: *x\nd: &y 5\ne: *y\n").value == {
        "a": {"b": 1},
        "c": {"b": 1},
        "d": 5,
        "e": 5,
    }


trees = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text("abc5e.-: é'", max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(trees)
def test_reads_what_pyyaml_writes(tree: Any) -> None:
    """PyYAML quotes what its own reader would take for something else; so does ours."""
    assert read_yaml(yaml.safe_dump({"root": tree}, allow_unicode=True)).value == {"root": tree}


@given(st.text(max_size=60) | st.binary(max_size=40).map(lambda b: b.decode("latin-1")))
def test_any_text_is_read_or_refused_with_a_message(text: str) -> None:
    try:
        read_yaml(text)
    except InputError as error:
        assert all(d.message and d.code.startswith("IN") for d in error.diagnostics)
