"""The value of a plain YAML text, without places: what nearly every config is.

libyaml composes the nodes, and they are read by the same scalars as everywhere. A text that has anything
else to it (a tag, an anchor, an error, a second document, too much of anything) is not quick: the reader
of events takes it, and says what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import yaml

MAX_DEPTH = 64
MAX_NODES = 100_000  # after aliases are expanded
NOT_QUICK: Final = object()


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Composes nodes without their tags, which nobody asks for: each scalar is read once, later."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        return ""


class _Unusual(Exception):
    """The reader of events has to see it."""


def quick_value(text: str, scalar: Callable[[str], Any], *, last_wins: bool) -> Any:
    """The value, or NOT_QUICK.

    scalar: of an unquoted one. last_wins: of two equal keys the last counts; else they are not quick.
    """
    try:
        node = _composed(text)
        if node is NOT_QUICK:
            return NOT_QUICK
        return None if node is None else _made(node, scalar, last_wins, MAX_DEPTH)
    except (yaml.YAMLError, _Unusual, RecursionError):
        return NOT_QUICK


# Indicators in a row open a level each, and so does more indentation.
_ROW = re.compile(r"(?:[-?:]\s+){20}")


def _may_be_deep(text: str) -> bool:
    """libyaml composes with the C stack: what is nested without end would end the process."""
    return text.count("[") + text.count("{") > MAX_DEPTH or " " * 100 in text or bool(_ROW.search(text))


def _may_be_large(text: str) -> bool:
    """Each node but the first stands after one of these, or is the value of one that does."""
    return 2 * sum(map(text.count, ":,-?[")) > MAX_NODES


@lru_cache(maxsize=4)
def _composed(text: str) -> Any:
    """The nodes of a text, or NOT_QUICK. Kept for a moment: one file is read in several ways."""
    if "!" in text or "&" in text or "*" in text or _may_be_deep(text) or _may_be_large(text):
        return NOT_QUICK
    loader = _Loader(text)
    try:
        return loader.get_single_node()
    finally:
        loader.dispose()


def _made(node: Any, scalar: Callable[[str], Any], last_wins: bool, depth: int) -> Any:
    kind = type(node)
    if kind is yaml.ScalarNode:
        return node.value if node.style else scalar(node.value)
    if depth == 0:
        raise _Unusual
    if kind is yaml.SequenceNode:
        return [_made(item, scalar, last_wins, depth - 1) for item in node.value]
    made: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        if type(key_node) is not yaml.ScalarNode:
            raise _Unusual
        key = as_key(key_node.value if key_node.style else scalar(key_node.value))
        if key in made and not last_wins:
            raise _Unusual
        made[key] = _made(value_node, scalar, last_wins, depth - 1)
    return made


def as_key(value: Any) -> str:
    """A scalar as a key: `1: x` and `true: x` have the texts."""
    return value if isinstance(value, str) else str(value).lower()
