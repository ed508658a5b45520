"""The dict that remembers what it is asked, and the reader of DeepSpeed's source."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from tools.scan_keys import _read
from tools.trace_keys import BLOCK, tree
from tools.tracing import MISSING, Log, Traced, text


def asked(question: Any) -> dict[tuple[str, str], Any]:
    log = Log()
    question(Traced("", log, {"have": 1}))
    return log.keys


@pytest.mark.parametrize(
    ("question", "default"),
    [
        (lambda block: block.get("key", 5), 5),
        (lambda block: block.get("key"), None),
        (lambda block: block.pop("key", 5), 5),
        (lambda block: "key" in block, MISSING),
        (lambda block: "key" in block.keys(), MISSING),  # noqa: SIM118 (as DeepSpeed asks)
        (lambda block: block.setdefault("key", 5), 5),
        (lambda block: copy.copy(block).get("key", 5), 5),
        (lambda block: copy.deepcopy(block).get("key", 5), 5),
    ],
)
def test_every_way_to_ask_is_remembered(question: Any, default: Any) -> None:
    assert asked(question) == {("", "key"): default}


def test_the_first_default_is_kept() -> None:
    assert asked(lambda b: ("key" in b, b.get("key", 1), b.get("key", 2))) == {("", "key"): 1}


def test_a_block_put_in_by_the_reader_remembers_too() -> None:
    def reader(block: Traced) -> None:
        block["inner"] = {}
        block["inner"].get("key")

    assert ("inner", "key") in asked(reader)


def test_a_block_taken_apart_by_name_is_told_from_one_that_is_walked_through() -> None:
    log = Log()
    dict(**Traced("a", log, {"x": 1}))
    assert log.unpacked == "a"
    list(Traced("b", log, {"x": 1}).items())
    assert log.walked == {"b"}


def test_a_text_remembers_what_it_is_compared_with() -> None:
    log = Log()
    assert text("fixed", "mode", log).lower() == "fixed"
    assert text("fixed", "mode", log) in ["dense", "fixed"]
    assert log.compared == {"mode": {"dense", "fixed"}}


def test_a_state_becomes_a_config() -> None:
    root = tree({("a", "b"): BLOCK, ("a", "b", "c"): 1, ("d",): "x"}, Log())
    assert dict.__getitem__(root, "a") == {"b": {"*": {}, "c": 1}}
    assert type(dict.__getitem__(dict.__getitem__(root, "a"), "b")) is Traced


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("held['a']", {("p", "a")}),
        ("held.get('a', {})['b']", {("p", "a"), ("p.a", "b")}),
        ("'a' in held.keys()", {("p", "a")}),
        ("held.pop('a')", {("p", "a")}),
        ("held['a'] = 1", set()),
        ("other['a']", set()),
        ("held[name]['a']", {("p.*", "a")}),
    ],
)
def test_the_source_is_read_for_what_it_asks(source: str, found: set[tuple[str, str]]) -> None:
    assert set(_read(source, Path("no/such/package.py"), [("held", "p")])) == found
