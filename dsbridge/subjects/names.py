"""Every name that DeepSpeed or a framework takes anywhere, in any version: what is none of them is no key."""

from __future__ import annotations

import re
from functools import cache

from dsbridge.closeness import changes, closest
from dsbridge.deepspeed.known import ANY, harvested, known_keys
from dsbridge.plugins import registry


@cache
def _names() -> tuple[frozenset[str], tuple[str, ...]]:
    blocks = [block for version in harvested() for block in known_keys(version).values()]
    found = {name for block in blocks for name in (*block.keys, *block.removed)}
    found |= {part for block in blocks for part in block.path.split(".") if part != ANY}
    for framework in registry().frameworks.values():
        for surface in framework.surfaces:
            words = framework.vocabulary({}, surface) if framework.vocabulary else None
            if words is not None:
                found |= {name.lstrip("-").replace("-", "_") for _, name in (*words.arguments, *words.others)}
    return frozenset(found), tuple(sorted(name for name in found if "_" in name and len(name) > 9))


def is_known(name: str) -> bool:
    """Whether anybody takes it."""
    return name in _names()[0]


def near(name: str) -> str:
    """The name that it is a slip of the pen for; "" for none."""
    every, long = _names()
    if name in every or len(name) < 10 or "_" not in name:
        return ""
    close = closest(name, long, 0.9)
    return close if close and _family(name) != _family(close) and changes(name, close) <= 2 else ""


def _family(name: str) -> str:
    """Names that differ in a digit or a number format are others: `zero2`, `zero3`; `fp16_x`, `bf16_x`."""
    return re.sub(r"\d|\b[bft]f?p?(?=\d)", "", name)
