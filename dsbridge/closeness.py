"""Which known name was meant by one that nobody knows. Each caller decides what is too far."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_WORD = 0.6  # `find_unused_parameters` is no slip for `ignore_unused_parameters`, its contrary


def bare(name: str) -> str:
    """Without what people change between languages: capitals, dashes, British spelling."""
    return name.lower().replace("-", "").replace("_", "").replace(" ", "").replace("isation", "ization")


def same(name: str, known: Iterable[str]) -> str:
    """The name that is the same but for that; "" for none."""
    wanted = bare(name)
    return next((one for one in known if bare(one) == wanted), "")


def closest(name: str, known: Iterable[str], cutoff: float) -> str:
    """The name that is most alike, with dashes as underscores and in small letters; "" for none."""
    plain = {_plain(one): one for one in known}
    found = difflib.get_close_matches(_plain(name), plain, n=1, cutoff=cutoff)
    return plain[found[0]] if found else ""


def word_by_word(name: str, known: str) -> bool:
    """No word stands for a wholly different one."""
    one, two = _plain(name).split("_"), _plain(known).split("_")
    if len(one) != len(two):
        return True
    alike = (difflib.SequenceMatcher(None, a, b).ratio() for a, b in zip(one, two, strict=True))
    return all(ratio >= _WORD for ratio in alike)


def changes(one: str, other: str) -> int:
    """How many letters are changed, added or left out."""
    codes = difflib.SequenceMatcher(None, one, other).get_opcodes()
    return sum(max(b - a, d - c) for kind, a, b, c, d in codes if kind != "equal")


def _plain(name: str) -> str:
    return name.replace("-", "_").lower()
