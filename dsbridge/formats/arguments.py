"""A script's own argparse parser, made again from its literal calls, and what it makes of the words."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any, NamedTuple, NoReturn

from dsbridge.formats.calls import CallSite, Name, Script, is_plain
from dsbridge.values import Unknown

_TYPES = {"int": int, "float": float, "str": str}
_ACTIONS = ("store_true", "store_false", "store", "count", "append")
# deepspeed/__init__.py _add_core_arguments
_DEEPSPEED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("--deepspeed", {"default": False, "action": "store_true"}),
    ("--deepspeed_config", {"default": None, "type": str}),
    ("--deepscale", {"default": False, "action": "store_true"}),
    ("--deepscale_config", {"default": None, "type": str}),
)


class Arguments(NamedTuple):
    """What the script's parser gives: values by name, or the message it ends with; at which call."""

    values: Mapping[str, Any]
    error: str
    before: int
    places: Mapping[str, int]


class _Stop(Exception):
    """argparse would end the program."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _Stop(f"{self.prog}: error: {message}")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise _Stop(message or "")


def read_arguments(script: Script, words: Sequence[str]) -> Arguments | None:
    """The script's command line; None when it has no parser of its own."""
    calls = script.named("parse_args", "parse_known_args")
    if not calls or not script.named("ArgumentParser"):
        return None
    parser = _Parser(prog=PurePath(script.file).name, add_help=True)
    unknown: list[str] = []
    for call in script.calls[: calls[0].number]:
        if call.short == "add_argument":
            unknown += _add(parser, call)
        elif call.short == "add_config_arguments":
            for flag, options in _DEEPSPEED:
                parser.add_argument(flag, **options)
    given = calls[0].argument("args", 0)
    items = list(given) if isinstance(given, list) and is_plain(given) else list(words)
    try:
        if calls[0].short == "parse_args":
            found = vars(parser.parse_args(items))
        else:
            found = vars(parser.parse_known_args(items)[0])
    except _Stop as stop:
        return Arguments({}, str(stop), calls[0].number, {})
    values = dict(found)
    for name in unknown:
        if name in values and values[name] is None:
            values[name] = Unknown(frozenset({f"args.{name}"}))
    return Arguments(values, "", calls[0].number, _places(found, items))


def _add(parser: argparse.ArgumentParser, call: CallSite) -> list[str]:
    """One add_argument; the name of the argument if its default cannot be read."""
    flags = [word for word in call.args if isinstance(word, str)]
    options: dict[str, Any] = {}
    unread = []
    for name, value in call.keywords.items():
        if name == "type":
            if isinstance(value, Name) and value.name in _TYPES:
                options["type"] = _TYPES[value.name]
        elif name == "action":
            if value in _ACTIONS:
                options["action"] = value
        elif name in ("default", "choices", "required", "nargs", "dest", "const") and is_plain(value):
            options[name] = value
        elif name == "default":
            unread.append(str(options.get("dest") or flags[0].lstrip("-").replace("-", "_")) if flags else "")
    try:
        parser.add_argument(*flags, **options)
    except (ValueError, TypeError, argparse.ArgumentError):
        return []
    return unread


def _places(found: Mapping[str, Any], words: Sequence[str]) -> dict[str, int]:
    """At which word each named argument is given."""
    places = {}
    for index, word in enumerate(words):
        name = word.lstrip("-").partition("=")[0].replace("-", "_")
        if word.startswith("--") and name in found:
            places[name] = index
    return places
