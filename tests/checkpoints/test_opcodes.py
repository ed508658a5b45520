"""The static reader of pickles: what pickle itself says, nothing built, everything bounded."""

from __future__ import annotations

import collections
import contextlib
import pickle
import pickletools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsbridge.checkpoints import opcodes, tree
from dsbridge.checkpoints.opcodes import Made, Unreadable

KEYS = st.text(max_size=8) | st.integers(-(2**31) + 1, 2**31 - 1)
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.binary(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=5) | st.tuples(inner, inner)
    ),
    max_leaves=30,
)


@given(PLAIN, st.integers(0, 5))
def test_plain_values_come_out_as_pickle_wrote_them(value: Any, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    if protocol < 3 and _has_bytes(value):
        return  # written as a call of codecs.encode
    if protocol == 0 and any(len(line) > 300 for line in data.splitlines()):
        return
    assert opcodes.read(data) == value


def _has_bytes(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_bytes, value.values()))
    return isinstance(value, bytes) or (isinstance(value, (list, tuple)) and any(map(_has_bytes, value)))


@given(st.binary(max_size=300))
@settings(max_examples=500)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(Unreadable):
        opcodes.read(data)


@given(st.lists(st.sampled_from(pickletools.opcodes), max_size=40), st.binary(max_size=60))
@settings(max_examples=500)
def test_any_opcodes_are_read_or_refused(codes: list[Any], tail: bytes) -> None:
    data = b"".join(code.code.encode("latin-1") for code in codes)
    for text in (data + b".", data + tail):
        with contextlib.suppress(Unreadable):
            opcodes.read(text)


class Bomb:
    """Unpickling it would end the test run."""

    def __reduce__(self) -> Any:
        return (__import__("os")._exit, (3,))


def test_an_escape_that_is_none_warns_nobody() -> None:
    assert next(opcodes.streams(b"S'\\.'\n.")) == "\\."


def test_nothing_is_called_or_looked_up() -> None:
    found = opcodes.read(pickle.dumps({"a": Bomb(), "b": 1}))
    assert found["b"] == 1
    assert isinstance(found["a"], Made)
    assert found["a"].name.endswith("_exit")
    assert found["a"].args == (3,)


def test_an_ordered_dict_is_a_mapping() -> None:
    found = opcodes.read(pickle.dumps(collections.OrderedDict(one=1, two=[2])))
    assert dict(tree.mapping(found)) == {"one": 1, "two": [2]}


def test_keys_that_could_be_chosen_to_collide_are_left_out() -> None:
    many = {i * ((1 << 61) - 1): i for i in range(1, 3000)}
    assert opcodes.read(pickle.dumps({"x": 1})) == {"x": 1}
    assert opcodes.read(pickle.dumps(many)) == {}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", None),
        (b"\x80\x02}", "before seeing STOP"),
        (b"t.", "a mark is missing"),
        (b"N0..", None),
        (b"h\x05.", "it uses what it has not kept"),
        (b"I" + b"9" * 4000 + b"\n.", "it has a line without end"),
        (b"]" * 1002, "it has more than"),
    ],
)
def test_broken_and_endless_ones(data: bytes, why: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opcodes, "MAX_OPCODES", 1000)
    if why is None:
        with pytest.raises(Unreadable):
            opcodes.read(data)
        return
    with pytest.raises(Unreadable, match=why):
        opcodes.read(data)


def test_more_bytes_than_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opcodes, "MAX_BYTES", 10)
    with pytest.raises(Unreadable, match="more than 10 bytes"):
        opcodes.read(b"N" * 20)


def test_a_value_that_holds_itself() -> None:
    loop: list[Any] = []
    loop.append(loop)
    found = opcodes.read(pickle.dumps({"loop": loop, "stage": 2}))
    assert found["stage"] == 2
    assert tree.dtype(found["loop"]) == ""
    assert tree.plain(found)["stage"] == 2


def test_a_value_that_is_shared_a_hundred_times_at_each_of_sixty_levels() -> None:
    value: Any = ()
    for _ in range(60):
        value = [value] * 100
    found = opcodes.read(pickle.dumps(value))  # walked leaf by leaf, it would never end
    assert tree.dtype(found) == ""
    assert tree.plain(found) is not None
