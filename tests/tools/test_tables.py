"""Merging what was harvested of several versions, and taking it apart again."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools import harvest_accelerate, harvest_transformers
from tools.harvest_releases import PACKAGES, ends, needed
from tools.tables import at, fate, named, order, ranges, read_all, to_text, unnamed

VERSIONS = ["1.0", "1.1", "1.10", "2.0"]
VALUES = st.sampled_from([0, 1, 1.0, True, False, "1", [1], [True], {"kind": "int"}])


@given(st.lists(st.none() | VALUES, min_size=4, max_size=4))
def test_what_was_merged_comes_back_version_by_version(values: list[Any]) -> None:
    rows = {version: value for version, value in zip(VERSIONS, values, strict=True) if value is not None}
    merged = ranges(rows, VERSIONS)
    for version in VERSIONS:
        assert json.dumps(at(merged, version)) == json.dumps(rows.get(version))


@given(st.lists(st.dictionaries(st.sampled_from("abc"), VALUES), min_size=4, max_size=4))
def test_names_come_back_too(found: list[dict[str, Any]]) -> None:
    by_version = dict(zip(VERSIONS, found, strict=True))
    table = named(by_version, VERSIONS)
    for version in VERSIONS:
        assert unnamed(table, version) == by_version[version]


def test_the_bounds_of_rows() -> None:
    assert ranges({"1.1": 1, "1.10": 1}, VERSIONS) == [{"value": 1, "since": "1.1", "until": "2.0"}]
    assert ranges(dict.fromkeys(VERSIONS, 1), VERSIONS) == [{"value": 1, "since": "", "until": ""}]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    one = {"version": "1.0", "fields": {"a": {"kind": "int"}}, "list": ["x"]}
    (tmp_path / "1.0.json").write_text(to_text(one))
    assert read_all(tmp_path) == {"1.0": one}


def _strict(given: int) -> None:
    if given:
        raise ValueError(given)


def test_what_becomes_of_an_unknown_name() -> None:
    assert fate(_strict, 0, 1) == "refused"
    assert fate(lambda given: None, 0, 1) == "ignored"
    with pytest.raises(RuntimeError, match="without the unknown name"):
        fate(_strict, 1, 2)


@pytest.mark.parametrize("harvester", [harvest_transformers, harvest_accelerate])
def test_the_table_is_the_merge_of_what_it_gives_back(harvester: Any) -> None:
    """So a harvest of one more release can be added without the others at hand."""
    table = json.loads(harvester.TABLE.read_text(encoding="utf-8"))
    again = harvester.merged({version: harvester.rebuilt(table, version) for version in table["versions"]})
    assert {name: table[name] for name in again} == again
    assert list(again["options" if "options" in again else "fields"]) == list(
        table["options" if "options" in table else "fields"]
    )


@pytest.mark.parametrize("harvester", [harvest_transformers, harvest_accelerate])
def test_every_minor_release_is_in_the_table(harvester: Any) -> None:
    """From the first that dsbridge covers to the newest: no minor is left out between the two."""
    versions = json.loads(harvester.TABLE.read_text(encoding="utf-8"))["versions"]
    assert versions == sorted(versions, key=order)
    name = harvester.__name__.partition("harvest_")[2]
    assert versions[0].startswith(PACKAGES[name].first)
    minors = [order(version)[:2] for version in versions]
    for one, following in itertools.pairwise(minors):
        assert following in (one, (one[0], one[1] + 1), (one[0] + 1, 0))


def test_first_and_last_patch_of_each_minor() -> None:
    listed = ["0.9.0", "1.0.0", "1.0.2", "1.0.10", "1.1.0", "1.2.0rc1", "2.0.1"]
    assert ends(listed, "1.0") == ["1.0.0", "1.0.10", "1.1.0", "2.0.1"]


def test_what_a_release_pins(tmp_path: Path) -> None:
    folder = tmp_path / "x-1.0.dist-info"
    folder.mkdir()
    lines = "Requires-Dist: tokenizers (<0.22,>=0.21)\nRequires-Dist: torch>=2\n"
    (folder / "METADATA").write_text(f"Name: x\n{lines}Requires-Dist: tokenizers; extra == 'dev'\n")
    assert needed(tmp_path, ("tokenizers",)) == ("tokenizers<0.22,>=0.21",)
