"""The training YAML and `key=value` words, as OmegaConf reads them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsbridge.reading import Files, Words
from dsbridge_llamafactory.omega import Settings, override, read_settings


def settings_of(text: str) -> Settings:
    """Of one file."""
    return read_settings(Files(memory={"train.yaml": text}), "train.yaml")


@pytest.mark.parametrize(
    ("text", "value", "older"),
    [
        pytest.param("1e-4", 1e-4, "1e-4", id="a number without a dot is text to PyYAML"),
        pytest.param("1.0e-4", 1e-4, 1e-4, id="with a dot it is a number to both"),
        pytest.param("'1e-4'", "1e-4", "1e-4", id="quotes make text"),
        pytest.param("on", True, True, id="YAML 1.1 has on and off"),
        pytest.param("null", None, None, id="null"),
        pytest.param("&rate 5e8", 5e8, "5e8", id="behind an anchor"),
        pytest.param("[1e3, x]", [1000.0, "x"], ["1e3", "x"], id="inside a list"),
        pytest.param("ds.json  # choices: ...", "ds.json", "ds.json", id="a comment is none of it"),
    ],
)
def test_scalars(text: str, value: Any, older: Any) -> None:
    found = settings_of(f"stage: sft\nvalue: {text}\n")
    assert found.problem is None
    assert (found.values["value"], found.older["value"]) == (value, older)
    assert found.sources["value"].line == 2


@pytest.mark.parametrize(
    ("text", "kind", "older"),
    [
        pytest.param("a: 1\na: 2\n", "ConstructorError", False, id="a key twice"),
        pytest.param("a: [1, 2\n", "ParserError", True, id="an open list"),
        pytest.param("a:\n\tb: 1\n", "ScannerError", True, id="a tab"),
        pytest.param("a: saves/${b\n", "GrammarParseError", True, id="an open interpolation"),
        pytest.param("- a: 1\n", "TypeError", True, id="a list of settings"),
    ],
)
def test_what_stops_the_reading(text: str, kind: str, older: bool) -> None:
    found = settings_of(text)
    assert found.problem is not None
    assert (found.problem["type"], found.problem["older"]) == (kind, older)


def test_words_after_the_file_win_and_have_their_places() -> None:
    settings = settings_of("rate: 1e-4\nds: {zero: {stage: 2}}\n")
    found = override(settings, Words(("rate=3e-5", "ds.zero.stage=3", "--bf16", "report="), 4))
    assert found.values == {"rate": 3e-5, "ds": {"zero": {"stage": 3}}, "--bf16": None, "report": None}
    assert found.sources["ds.zero.stage"].column == 5
    assert settings.values["rate"] == 1e-4


def test_a_path_is_replaced_by_what_lies_below_it() -> None:
    settings = settings_of("deepspeed: ds.json\n")
    found = override(settings, Words(("deepspeed.zero_optimization.stage=2",), 4))
    assert found.values["deepspeed"] == {"zero_optimization": {"stage": 2}}


@given(st.text(), st.lists(st.text(), max_size=4))
def test_no_text_crashes_it(text: str, words: list[str]) -> None:
    settings = settings_of(text)
    assert isinstance(override(settings, Words(tuple(words), 1)).values, dict)
