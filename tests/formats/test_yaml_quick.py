"""The quick reader says what the reader of events says, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from dsbridge.diagnostics import InputError
from dsbridge.formats.yaml import _built as built
from dsbridge.formats.yaml import plain_scalar, scalar_1_1
from dsbridge.formats.yaml_quick import NOT_QUICK, quick_value

LINES = st.sampled_from(
    ["a: 1", "a: 2", "b: [1, x, 'y']", "c:", "  d: 1e-4", "  - no", "- e", "? f", ": g", "h: |", "    text",
     "'i': \"j\"", "k: 2024-01-01", "l: {m: ~, n: 0x1F}", "# note", "<<: 3", "o: !!int 3", "p: &q 1", "r: *q",
     "---", "...", "s: 1:30", "\t", "1: one", "on: off", "t: 'it''s'", "u: >-", "[v]: w", "x: .inf", ""]
)  # fmt: skip
SCALARS = (scalar_1_1, plain_scalar)


def both(text: str, scalar: Callable[[str], Any], last_wins: bool) -> tuple[Any, Any]:
    """What the two readers give; an InputError as one."""
    try:
        slow: Any = built(text, "x.yaml", scalar, last_wins).root
    except InputError as error:
        slow = error
    return quick_value(text, scalar, last_wins=last_wins), slow


@given(st.lists(LINES, max_size=8), st.sampled_from(SCALARS), st.booleans())
@example(["a: 1", "a: 2"], plain_scalar, False)
def test_quick_is_what_the_events_say(lines: list[str], scalar: Callable[[str], Any], last: bool) -> None:
    quick, slow = both("\n".join(lines), scalar, last)
    if quick is not NOT_QUICK:
        assert repr(quick) == repr(slow)  # nan is nan, and true is not 1


VALUES = st.recursive(
    st.one_of(st.text(max_size=12), st.integers(), st.floats(), st.booleans(), st.none(), st.dates()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(VALUES, st.booleans())
def test_what_pyyaml_writes_is_read_back(value: Any, flow: bool) -> None:
    text = yaml.safe_dump(value, default_flow_style=flow, allow_unicode=True)
    quick, slow = both(text, scalar_1_1, True)
    if quick is not NOT_QUICK:
        assert repr(quick) == repr(slow)


def test_a_plain_config_is_quick() -> None:
    text = "a: 1\nb:\n  - c: 'd'\n    e: 1e-4\n"
    assert quick_value(text, scalar_1_1, last_wins=True) == {"a": 1, "b": [{"c": "d", "e": "1e-4"}]}


@pytest.mark.parametrize("open_", ["[", "{a: ", "- ", "? ", "-\t", "-\n"])
def test_what_is_deep_never_reaches_the_c_stack(open_: str) -> None:
    assert quick_value(open_ * 50_000, scalar_1_1, last_wins=True) is NOT_QUICK


def test_indentation_is_bounded_too() -> None:
    text = "\n".join(" " * depth + "a:" for depth in range(3_000))
    assert quick_value(text, scalar_1_1, last_wins=True) is NOT_QUICK
