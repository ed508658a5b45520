"""The tables of DeepSpeed's keys are merged without loss, and say where they come from."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import ROOT
from tools.merge_versions import (
    at,
    by_version,
    differences,
    merged_fields,
    merged_read,
    ranges,
    split,
    tables,
)

VERSIONS = ["0.1.0", "0.2.0", "0.2.1", "0.10.0"]
ROWS = st.sampled_from([{"name": "a", "default": 1}, {"name": "a", "default": 2}, {"name": "a"}])


@given(st.dictionaries(st.sampled_from(VERSIONS), ROWS))
def test_rows_with_their_range_are_the_rows_of_each_version(rows: dict[str, dict[str, Any]]) -> None:
    merged = ranges(rows, VERSIONS)
    for version in VERSIONS:
        assert at(merged, version, VERSIONS) == ([rows[version]] if version in rows else [])


def test_a_row_that_ends_and_comes_back_is_two() -> None:
    row = {"name": "a"}
    rows = dict.fromkeys(("0.1.0", "0.2.1", "0.10.0"), row)
    assert ranges(rows, VERSIONS) == [{"name": "a", "until": "0.1.0"}, {"name": "a", "since": "0.2.1"}]


def test_the_tables_taken_apart_and_merged_again_are_the_tables() -> None:
    fields, read = tables()
    harvests = by_version(split(fields, read))
    assert merged_fields(harvests) == fields
    assert merged_read(harvests) == read


def test_a_release_is_told_from_another() -> None:
    harvests = split(*tables())
    assert not differences(harvests["0.18.4"], harvests["0.18.4"])
    told = differences(harvests["0.18.4"], harvests["0.19.8"])
    assert any(line.startswith(".read..keys.nebula: ") for line in told)


def test_the_order_of_fields_does_not_count_and_their_content_does() -> None:
    one = {"fields": [{"name": "a"}, {"name": "b", "default": 1}]}
    assert not differences({"x": one}, {"x": {"fields": one["fields"][::-1]}})
    assert differences({"x": one}, {"x": {"fields": [{"name": "a"}, {"name": "b", "default": 2}]}})


def test_the_tables_say_where_they_come_from_and_nothing_of_a_machine() -> None:
    for table in tables():
        assert table["generator"].startswith("tools/merge_versions.py")
        assert str(ROOT) not in json.dumps(table)
