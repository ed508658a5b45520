"""The names of a surface: which a version takes, which others do, and where a name points to."""

from __future__ import annotations

import pytest

from dsbridge.vocabulary import Argument, life, vocabulary


def row(value: object, since: str, until: str) -> dict[str, object]:
    return {"value": value, "since": since, "until": until}


ROWS = [row("a", "", "1.4"), row("b", "1.4", "2.0"), row("c", "3.0", "")]


@pytest.mark.parametrize(
    ("version", "seen"),
    [
        ("1.0", (True, "a", "", "2.0")),
        ("1.4.0", (True, "b", "", "2.0")),
        ("2.0", (False, "b", "", "2.0")),
        ("3.0.1", (True, "c", "3.0", "")),
    ],
)
def test_rows_that_touch_are_one_life(version: str, seen: tuple[object, ...]) -> None:
    assert tuple(life(ROWS, version)) == seen


def test_before_the_first_life_the_next_one_is_seen() -> None:
    assert tuple(life(ROWS[2:], "1.0")) == (False, "c", "3.0", "")


def test_a_replacement_is_followed_to_a_name_that_this_version_takes() -> None:
    found = vocabulary(
        [
            (False, Argument("oldest", instead="old")),
            (False, Argument("old", instead="new")),
            (True, Argument("new")),
        ],
        {"": "refused"},
    )
    assert [name for _, name in found.arguments] == ["new"]
    assert found.others["", "oldest"].instead == "new"


def test_a_replacement_that_is_gone_as_well_is_not_named() -> None:
    rows = [
        (False, Argument("one", instead="two")),
        (False, Argument("two", instead="one")),
        (True, Argument("three", instead="four")),
    ]
    found = vocabulary(rows, {})
    assert {row.instead for row in (*found.arguments.values(), *found.others.values())} == {""}


def test_find_by_name_alias_and_block() -> None:
    one = Argument("fsdp_version", "fsdp_config", aliases=("version",))
    found = vocabulary([(True, one), (False, Argument("tp_size", "tp_config", aliases=("size",)))], {})
    assert found.find("version", "fsdp_config") == found.find("fsdp_version", "fsdp_config") == one
    assert found.find("version") is None
    assert found.other("size", "tp_config") is not None
    assert found.blocks_of("fsdp_version") == ["fsdp_config"]
