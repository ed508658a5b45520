"""Nested dicts and lists addressed by dotted paths: what the rules read and write.

A key of the user's may itself hold a dot, and is then not reached by a dotted path; `walk` still sees it.
"""

from __future__ import annotations

import marshal
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from dsbridge.values import UNSET, Unknown


@lru_cache(maxsize=4096)
def split(path: str) -> tuple[str, ...]:
    """`a.b.c` in parts."""
    return tuple(path.split("."))


def lookup(tree: Any, path: str) -> Any:
    """The value at a path: UNSET if absent; what lies inside something Unknown is Unknown."""
    value = tree
    for part in split(path):
        if type(value) is dict:  # nearly always, and asking Mapping costs more than all the rest
            if part not in value:
                return UNSET
            value = value[part]
        elif isinstance(value, Unknown):
            return value
        elif isinstance(value, Mapping):
            if part not in value:
                return UNSET
            value = value[part]
        elif isinstance(value, list | tuple):
            if not part.isdigit() or int(part) >= len(value):
                return UNSET
            value = value[int(part)]
        else:
            return UNSET
    return value


def store(tree: dict[str, Any], path: str, value: Any) -> None:
    """Put a value at a path, making the mappings above it; UNSET removes it.

    What stands in the way (a scalar where a mapping is needed) is replaced.
    """
    *parents, last = split(path)
    node: Any = tree
    for part in parents:
        if isinstance(node, list):
            node = node[int(part)]
            continue
        inner = node.get(part)
        if not isinstance(inner, dict | list):
            if value is UNSET:
                return
            inner = node[part] = {}
        node = inner
    if isinstance(node, list):
        node[int(last)] = value
    elif value is UNSET:
        node.pop(last, None)
    else:
        node[last] = value


def copied(value: Any) -> Any:
    """A copy of the containers; scalars are shared."""
    kind = type(value)
    if kind is dict or (kind not in PLAIN and isinstance(value, Mapping)):
        return {k: v if type(v) in PLAIN else copied(v) for k, v in value.items()}
    if kind is list:
        return [copied(item) for item in value]
    return value


# types that are asked first, because most values are of one: nothing is inside them
PLAIN = frozenset({str, int, float, bool, type(None)})


def block_token(value: Any) -> bytes:
    """What tells a JSON value from every other, types and order included; empty for one that is no JSON."""
    try:
        return marshal.dumps(value, 2)  # without references: equal values give equal bytes
    except ValueError:
        return b""


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Leaves by dotted path; empty mappings and lists are leaves."""
    if isinstance(value, Mapping) and value:
        found: dict[str, Any] = {}
        for key, item in value.items():
            found |= flat(item, f"{path}.{key}" if path else str(key))
        return found
    return {path: value}
