"""The flags of XTuner's tools/train.py, read by the same kind of parser, with its own words for errors."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

_CHOICES = re.compile(r"\(choose from .*\)$", re.DOTALL)


class Problem(Exception):
    """The parser stops the program, or an action of it raises."""

    def __init__(self, kind: str, message: str, flag: str) -> None:
        super().__init__(message)
        self.kind, self.message, self.flag = kind, message, flag


class Flags(NamedTuple):
    """The flags by name, or how reading them ends; the --cfg-options apart."""

    values: dict[str, Any]
    options: dict[str, Any]
    problem: dict[str, Any] | None


class _Parser(argparse.ArgumentParser):
    """Raises where argparse would print and exit."""

    def error(self, message: str) -> NoReturn:
        # how the choices are quoted depends on the version of Python
        text = _CHOICES.sub("(choose from …", message)
        found = re.search(r"--[a-z-]+", message)
        flag = found[0].lstrip("-").replace("-", "_") if found else "config"
        raise Problem("SystemExit", f"train.py: error: {text}", flag)

    def print_help(self, file: Any = None) -> None:
        """Nothing: it is not our help that was asked for."""

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise Problem("", message or "", "help")  # --help


class _Options(argparse.Action):
    """mmengine 0.10.6 config/config.py:1822: KEY=VALUE pairs."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        found = dict(getattr(namespace, self.dest) or {})
        for pair in values:
            key, equals, value = pair.partition("=")
            if not equals:
                raise Problem("ValueError", "not enough values to unpack (expected 2, got 1)", "cfg_options")
            found[key] = option_value(value)
        setattr(namespace, self.dest, found)


def _parser() -> argparse.ArgumentParser:
    """xtuner 0.2.0 tools/train.py:31-71."""
    parser = _Parser(prog="train.py")
    parser.add_argument("config")
    parser.add_argument("--work-dir")
    parser.add_argument("--deepspeed")
    parser.add_argument("--resume")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--cfg-options", nargs="+", action=_Options)
    parser.add_argument("--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none")
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0)
    return parser


def read_flags(words: Sequence[str]) -> Flags:
    """The words behind train.py."""
    try:
        found = vars(_parser().parse_args(list(words)))
    except Problem as end:
        if not end.kind:
            return Flags({"help": True}, {}, None)
        return Flags({}, {}, {"type": end.kind, "message": end.message, "fields": [f"flags.{end.flag}"]})
    options = found.pop("cfg_options") or {}
    return Flags({name: value for name, value in found.items() if value is not None}, options, None)


def option_value(text: str) -> Any:
    """mmengine 0.10.6 config/config.py:1757 DictAction._parse_iterable."""
    text = text.strip("'\"").replace(" ", "")
    row = False
    if text.startswith("(") and text.endswith(")"):
        row, text = True, text[1:-1]
    elif text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    elif "," not in text:
        return _scalar(text)
    values = []
    while text:
        end = _next_comma(text)
        values.append(option_value(text[:end]))
        text = text[end + 1 :]
    return tuple(values) if row else values


def _next_comma(text: str) -> int:
    if text.count("(") != text.count(")") or text.count("[") != text.count("]"):
        raise Problem("AssertionError", f"Imbalanced brackets exist in {text}", "cfg_options")
    depth = 0
    for index, letter in enumerate(text):
        if letter == "," and depth == 0:
            return index
        depth += (letter in "([") - (letter in ")]")
    return len(text)


def _scalar(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    return None if text == "None" else text
