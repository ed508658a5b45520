"""Texts made to hurt: each is read or refused with one message, soon and in little memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dsbridge.diagnostics import InputError
from dsbridge.formats.calls import Unread
from dsbridge.formats.document import MAX_BYTES, decode, read_text
from dsbridge.formats.json import json_error, read_json
from dsbridge.formats.script import read_script
from dsbridge.formats.yaml import read_yaml

NINE = "[" + ",".join(["*{}"] * 9) + "]"
LAUGHS = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} {NINE.format(*[chr(97 + i)] * 9)}\n" for i in range(9)
)
LONG = "9" * 5000
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "billion-laughs": (lambda: read_yaml(LAUGHS), "once aliases are expanded"),
    "laughs-as-pyyaml": (lambda: read_yaml(LAUGHS, as_pyyaml=True), "once aliases are expanded"),
    "alias-of-itself": (lambda: read_yaml("a: &a [*a]"), "names no anchor closed before it"),
    "deep-flow-yaml": (lambda: read_yaml("[" * 5000), "nested deeper than 64"),
    "deep-block-yaml": (lambda: read_yaml("".join(" " * i + "a:\n" for i in range(200))), "nested deeper"),
    "wide-yaml": (lambda: read_yaml("[" + "1," * 150_000 + "1]"), "more than 100,000 values"),
    "python-tag": (lambda: read_yaml("!!python/object/apply:os.system ['true']"), "is not read"),
    "half-a-character-yaml": (lambda: read_yaml('a: "\\ud800"'), "not valid YAML"),
    "deep-json": (lambda: read_json("[" * 100_000), "nested deeper"),
    "deep-closed-json": (lambda: read_json("[" * 300 + "]" * 300), "nested deeper"),
    "deep-hjson": (lambda: read_json("[" * 100_000, comments=True), "nested deeper"),
    "wide-json": (lambda: read_json("[" + "1," * 400_000 + "1]"), "more than 200,000 values"),
    "wide-hjson": (lambda: read_json("[" + "1," * 400_000 + "1,]", comments=True), "more than 200,000"),
    "long-integer-json": (lambda: read_json('{\n"a": ' + LONG + "}", "f"), "f:2: error IN002"),
    "long-integer-hjson": (lambda: read_json('{"a": ' + LONG + ",}", comments=True), "4300 digits"),
    "half-a-character-json": (lambda: read_json('{"a": "\\ud800"}'), "half a character"),
    "utf-16": (lambda: decode("a: 1".encode("utf-16"), "f"), "is not UTF-8"),
    "utf-16-without-mark": (lambda: decode("a: 1".encode("utf-16-le"), "f"), "NUL bytes"),
    "latin-1": (lambda: decode("a: é".encode("latin-1"), "f"), "byte 0xe9 is not UTF-8"),
    "endless-device": (lambda: read_text("/dev/zero"), "does not end"),
    "deep-script": (lambda: read_script("x = " + "(" * 5000), "not valid Python"),
    "long-sum": (lambda: read_script("x = " + "+".join("1" * 20_000)), "cannot be parsed"),
    "script-that-calls-itself": (lambda: read_script("def f():\n f()\n f()\nf()"), "nested too deep"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    if name == "endless-device" and not Path("/dev/zero").exists():
        pytest.skip("no such device here")
    read, says = REFUSED[name]
    begun = time.process_time()
    with pytest.raises(InputError) as stop:
        read()
    assert says in str(stop.value)
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    "number", [LONG, "0x" + "f" * 5000, "0b" + "1" * 20_000, "1" + ":59" * 2000], ids=lambda text: text[:3]
)
def test_a_number_that_is_too_long_is_text(number: str) -> None:
    assert read_yaml(f"a: {number}", as_pyyaml=True).value == {"a": number}
    value = read_yaml(f"a: {number}").value["a"]
    assert value == number


def test_the_largest_numbers_that_are_numbers() -> None:
    assert read_yaml("a: 123456789012345678901234567890").value["a"] == 123456789012345678901234567890
    assert read_json('{"a": 123456789012345678901234567890}').value["a"] == 123456789012345678901234567890


def test_a_mark_at_the_beginning_is_no_text() -> None:
    assert read_json(decode(b'\xef\xbb\xbf{"a": 1}', "f")).value == {"a": 1}
    assert read_yaml(decode(b"\xef\xbb\xbfa: 1", "f")).value == {"a": 1}


def test_whole_characters_in_two_halves_are_read() -> None:
    assert read_json('{"a": "\\ud83d\\ude00"}').value == {"a": "\U0001f600"}


def test_what_json_says_of_a_long_integer() -> None:
    assert "4300 digits" in json_error("9" * 5000)


def test_a_large_file(tmp_path: Path) -> None:
    (tmp_path / "big.yaml").write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(InputError, match="4,194,305 bytes"):
        read_text(tmp_path / "big.yaml")
    (tmp_path / "full.yaml").write_bytes(b"#" * MAX_BYTES)
    assert len(read_text(tmp_path / "full.yaml")) == MAX_BYTES


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("x = 'a'\n" + "x = x + x\n" * 60, id="text-doubled"),
        pytest.param("x = 'a'\n" + "x = f'{x}{x}'\n" * 60, id="f-string-doubled"),
        pytest.param("x = [1]\n" + "x = x + x\n" * 60, id="list-doubled"),
        pytest.param("x = 'a' * 10**10", id="text-repeated"),
        pytest.param("x = 9 ** 9 ** 9 ** 9", id="tower"),
        pytest.param("x = '%9999999999d' % 1", id="wide-format"),
        pytest.param("x = '%*d' % (9999999999, 1)", id="width-by-value"),
        pytest.param("x = int(1e400)", id="infinite-integer"),
        pytest.param("x = 0x" + "f" * 5000, id="long-integer"),
        pytest.param("x = '\\ud800'", id="half-a-character"),
    ],
)
def test_scripts_that_would_grow(code: str) -> None:
    begun = time.process_time()
    value = read_script(f"{code}\nshow(x)\n").named("show")[0].args[0]
    assert isinstance(value, Unread)
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("x = [1]\n" + "x = [x, x]\n" * 60, id="list-of-itself"),
        pytest.param("x = {}\n" + "x = {'a': x, 'b': x}\n" * 60, id="dict-of-itself"),
        pytest.param("x = {}\nx['a'] = x\n", id="dict-in-itself"),
    ],
)
def test_values_stay_small(code: str) -> None:
    begun = time.process_time()
    value = read_script(f"{code}\nshow(x)\n").named("show")[0].args[0]
    assert len(repr(value)) < 5_000_000
    assert time.process_time() - begun < 5


def test_many_unread_values_take_little_time() -> None:
    begun = time.process_time()
    read_script("x = a[b]\n" * 20_000)
    assert time.process_time() - begun < 5


def test_the_text_of_what_is_not_read() -> None:
    value = read_script("n = 'ü'; show(a[\n  'ü'])\n").named("show")[0].args[0]
    assert value == Unread("a[ 'ü']", 1)
