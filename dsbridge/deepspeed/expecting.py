"""What a release takes as the value of a key, in words."""

from __future__ import annotations

from collections.abc import Mapping

from dsbridge.deepspeed.known import NO_DEFAULT, Key, known_keys
from dsbridge.fields import show

_KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text"}
_LIMITS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def expected(path: tuple[str, ...], version: str) -> str:
    """`a whole number, at least 0`; "" where the tables do not say."""
    block = known_keys(version).get(".".join(path[:-1]))
    key = block.keys.get(path[-1]) if block else None
    return _said(key) if key else ""


def _said(key: Key) -> str:
    if key.block:
        return "a block, { ... }"
    if key.choices:
        return "one of " + ", ".join(dict.fromkeys(map(show, key.choices)))
    words = (key.type or "").removeprefix("Optional[").removesuffix("]").removesuffix(" | None")
    kind = _KINDS.get(words, "") or _by_default(key)
    return kind + _bounds(key.limits) if kind else ""


def _by_default(key: Key) -> str:
    """What a key without a class is compared with."""
    if key.type or key.default is NO_DEFAULT or key.default is None:
        return "a whole number" if {"text", "quoted number"} <= set(key.refuses) else ""
    if isinstance(key.default, bool):
        return "true or false"
    return "a number" if isinstance(key.default, int | float) else ""


def _bounds(limits: Mapping[str, float]) -> str:
    return "".join(f", {_LIMITS[name]} {show(limit)}" for name, limit in limits.items() if name in _LIMITS)
