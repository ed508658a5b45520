"""What a text leaves open: names to be filled in, variables that nobody sets, files that are not shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from dsbridge.resolve import Refused
from dsbridge.trees import lookup

_PLACEHOLDER = re.compile(
    r"\$|<[\w -]+>|^_+\w+_+$|^x{2,}$|\bx{3,}\b|^\.\.\.|\byour?_|/your|your_|\bpath/to\b|\{\{?\w+\}?\}",
    re.IGNORECASE,
)
_NOT_THERE = ("FileNotFoundError", "IsADirectoryError")
_NO_CONFIG = "Expected a string path to an existing deepspeed config"
# what only the command says, where there is none
_ON_THE_COMMAND_LINE = ("the following arguments are required", "manually pass in `--num_processes`")


def is_placeholder(value: Any) -> bool:
    """`$GPUS`, `<config>`, `xxx`, `your_dataset`, `/path/to/model`: nobody means it as it stands."""
    return isinstance(value, str) and bool(_PLACEHOLDER.search(value))


def names_open_files(words: Iterable[str]) -> bool:
    """A command whose script or config is to be filled in: what it trains is in them."""
    files = (word for word in words if word.endswith((".py", ".yaml", ".yml", ".json")))
    return any(map(is_placeholder, files))


def without_a_command(refusals: Iterable[Refused]) -> Iterator[Refused]:
    """Of files alone: the refusals up to the first that is about a flag, which the command may have."""
    for refused in refusals:
        if any(words in refused.message for words in _ON_THE_COMMAND_LINE):
            return
        yield refused


def settled(refusals: Iterable[Refused], trees: Any) -> Iterator[Refused]:
    """The refusals up to the first that is about something left open: what comes behind it is not known."""
    for refused in without_a_command(refusals):
        if refused.type in _NOT_THERE or _NO_CONFIG in refused.message:
            return
        if is_placeholder(refused.message) or any(_left_open(lookup(trees, f)) for f in refused.fields):
            return
        yield refused


def _left_open(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_left_open, value))
    return is_placeholder(value)
