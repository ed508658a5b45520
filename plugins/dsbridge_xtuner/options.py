"""`--cfg-options`: values as mmengine's DictAction reads them back.

mmengine 0.10.6 config/config.py:1730-1842: spaces go, a comma makes a list, what looks like a number
is one. A value that would come back as another cannot be passed on the command line.
"""

from __future__ import annotations

from typing import Any


class NotSayable(ValueError):
    """DictAction would read something else."""


def encode(value: Any) -> str:
    """The text behind `key=` that mmengine reads back as `value`.

    Raises:
        NotSayable: there is no such text.
    """
    text = _write(value)
    if not _same(_read(text), value):
        raise NotSayable(f"mmengine would read {_read(text)!r}")
    return text


def _write(value: Any) -> str:
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        inner = ",".join(_write(v) for v in value)
        return f"[{inner}]" if isinstance(value, list) else f"({inner})"
    if isinstance(value, str):
        return value
    raise NotSayable(f"a {type(value).__name__} has no place on a command line")


def _read(text: str) -> Any:
    """DictAction._parse_iterable, written anew: one value, or a list, or a tuple."""
    text = text.strip("'\"").replace(" ", "")
    row: type[Any] = list
    if text[:1] == "(" and text[-1:] == ")":
        row, text = tuple, text[1:-1]
    elif text[:1] == "[" and text[-1:] == "]":
        text = text[1:-1]
    elif "," not in text:
        return _scalar(text)
    values = []
    while text:
        end = _comma(text)
        values.append(_read(text[:end]))
        text = text[end + 1 :]
    return row(values)


def _scalar(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    words = {"true": True, "false": False}
    return None if text == "None" else words.get(text.lower(), text)


def _comma(text: str) -> int:
    """Where the first value of a row ends."""
    if text.count("(") != text.count(")") or text.count("[") != text.count("]"):
        raise NotSayable("brackets that are not closed stop mmengine")
    depth = 0
    for index, char in enumerate(text):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(char, 0)
        if char == "," and depth == 0:
            return index
    return len(text)


def _same(read: Any, meant: Any) -> bool:
    if isinstance(meant, list | tuple):
        return (
            type(read) is type(meant)
            and len(read) == len(meant)
            and all(_same(a, b) for a, b in zip(read, meant, strict=True))
        )
    if isinstance(meant, float) and isinstance(read, int) and not isinstance(read, bool):
        return read == meant
    return type(read) is type(meant) and bool(read == meant)
