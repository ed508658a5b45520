"""The page of measurements says what the recordings say."""

from __future__ import annotations

from tools import planner_tables


def test_the_page_is_what_the_recordings_say() -> None:
    text = planner_tables.PAGE.read_text(encoding="utf-8")
    assert planner_tables.page(text) == text


def test_tables_come_from_the_recordings_alone() -> None:
    empty = "".join(f"<!-- {name} -->\n<!-- end {name} -->" for name in ("held", "collectives", "refused"))
    made = planner_tables.page(empty)
    assert "`z3-bf16-large-g4-w4`" in made
    assert "Type fp16 is not supported on your device." in made


def test_releases_are_told_apart_only_where_they_differ() -> None:
    assert planner_tables.per_release(["2.00", "2.00"]) == "2.00"
    assert planner_tables.per_release(["2.00", "3.00"]) == "2.00 / 3.00"
