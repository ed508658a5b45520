"""A user's YAML text with one key changed: everything else stays, letter for letter.

Unlike `yaml_edit`, which writes the whole file anew, this cuts and joins the text by offsets, and needs no
library beyond PyYAML. The result is read again and must be the old value with only that change.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import yaml

from dsbridge.diagnostics import Edit
from dsbridge.formats.tree_edit import NotApplicable, destination, edited, same, value_at
from dsbridge.formats.yaml_text import to_yaml

Path = tuple[str | int, ...]


class _Entry(NamedTuple):
    """A key with its value (or an item), and the node that holds them. key: None for an item."""

    holder: Any
    number: int
    key: Any
    value: Any


def edit_yaml(text: str, edit: Edit) -> str:
    """The text after the edit.

    Raises:
        NotApplicable: the key is not there, or the text is none that can be changed safely.
    """
    try:
        before = yaml.safe_load(text)
        if not isinstance(before, dict):
            raise NotApplicable("the file holds no mapping")
        expected = edited(before, edit)
        after = _changed(text, edit, before)
        if not same(yaml.safe_load(after), expected):
            raise NotApplicable("the text says this key in a way that cannot be changed safely")
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        if isinstance(error, NotApplicable):
            raise
        raise NotApplicable("the file, or the file as changed, is no single YAML document") from None
    return after


def _changed(text: str, edit: Edit, before: Any) -> str:
    if edit.action == "remove":
        return _removed(text, edit.path)
    if edit.action == "set":
        found = _entry(text, edit.path)
        return _added(text, edit.path, edit.value) if found is None else _replaced(text, found, edit.value)
    new = destination(edit)
    found = _entry(text, edit.path)
    if found is None or found.key is None:
        raise NotApplicable("the key is not written in this place")
    if new[:-1] == edit.path[:-1]:
        return text[: _from(found.key)] + _scalar(new[-1]) + text[_to(found.key) :]
    return _added(_removed(text, edit.path), new, value_at(before, edit.path))


def _entry(text: str, path: Path) -> _Entry | None:
    """The last entry of that path, as written; a merged key is none."""
    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    entry = None
    for part in path:
        several = list(_entries(node))
        found = [e for e in several if (e.number if e.key is None else e.key.value) == part]
        if not found:
            return None
        entry = found[-1]
        node = entry.value
    return entry


def _entries(node: Any) -> list[_Entry]:
    if isinstance(node, yaml.MappingNode):
        return [_Entry(node, n, key, value) for n, (key, value) in enumerate(node.value)]
    if isinstance(node, yaml.SequenceNode):
        return [_Entry(node, n, None, value) for n, value in enumerate(node.value)]
    return []


def _from(node: Any) -> int:
    return int(node.start_mark.index)


def _to(node: Any) -> int:
    """Behind the last letter of a value: a block's own end is where the next thing starts."""
    inner = _entries(node)
    if inner and not node.flow_style:
        return max(_to(inner[-1].value), _to(inner[-1].key) if inner[-1].key else 0)
    return int(node.end_mark.index)


def _is_block(node: Any) -> bool:
    return bool(_entries(node)) and not node.flow_style


def _line(text: str, offset: int) -> int:
    return text.rfind("\n", 0, offset) + 1


def _line_end(text: str, offset: int) -> int:
    """Behind the line's end; `offset` may be there already (a text block ends with its line)."""
    if offset and text[offset - 1 : offset] == "\n":
        return offset
    found = text.find("\n", offset)
    return len(text) if found < 0 else found + 1


def _scalar(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, dict | list):
        inner = (
            [f"{_scalar(k)}: {_scalar(v)}" for k, v in value.items()]
            if isinstance(value, dict)
            else list(map(_scalar, value))
        )
        opened, closed = "{}" if isinstance(value, dict) else "[]"
        return opened + ", ".join(inner) + closed
    return to_yaml([value]).removeprefix("- ").rstrip("\n")


def _replaced(text: str, found: _Entry, value: Any) -> str:
    old = found.value
    if _is_block(old) or getattr(old, "style", None) in ("|", ">"):
        return _block_replaced(text, found, value)
    start, end = _from(old), int(old.end_mark.index)
    space = " " if start == end and text[start - 1 : start] in (":", "-") else ""
    return text[:start] + space + _scalar(value) + text[end:]


def _block_replaced(text: str, found: _Entry, value: Any) -> str:
    """The lines of the old value go; the comment beside the key stays."""
    if found.key is None:
        raise NotApplicable("an item of several lines")
    colon = text.index(":", _to(found.key)) + 1
    end = _line_end(text, _to(found.value))
    beside = re.sub(r"^[ \t]*[|>][-+0-9]*", "", text[colon : _line_end(text, colon)])
    return text[:colon] + f" {_scalar(value)}" + beside + text[end:]


def _removed(text: str, path: Path) -> str:
    found = _entry(text, path)
    if found is None:
        raise NotApplicable("the key is not written in this place")
    while found is not None:  # of equal keys each
        text = _without(text, found, path)
        found = None if isinstance(path[-1], int) else _entry(text, path)
    return text


def _without(text: str, found: _Entry, path: Path) -> str:
    holder, several = found.holder, _entries(found.holder)
    start = _from(found.key or found.value)
    end = max(_to(found.value), _to(found.key) if found.key else 0)
    if holder.flow_style:
        if found.number + 1 < len(several):
            following = several[found.number + 1]
            return text[:start] + text[_from(following.key or following.value) :]
        start = _to(several[found.number - 1].value) if found.number else start
        return text[:start] + text[end:]
    line = _line(text, start)
    lead = text[line:start].strip()
    if lead and not (found.key is None and lead == "-"):  # the first key behind a "- "
        if found.number + 1 >= len(several):
            raise NotApplicable("it is all that an item of a list says")
        return text[:start] + text[_from(several[found.number + 1].key) :]
    after = text[:line] + text[_line_end(text, end) :]
    return _emptied(after, text, found, path) if len(several) == 1 else after


def _emptied(after: str, text: str, found: _Entry, path: Path) -> str:
    """A block that lost its only key is still there."""
    empty = "{}" if found.key is not None else "[]"
    if len(path) == 1:
        return after + f"{empty}\n"
    above = _entry(text, path[:-1])
    if above is None or above.key is None:
        raise NotApplicable("it is all that an item of a list says")
    colon = text.index(":", _to(above.key)) + 1
    return after[:colon] + f" {empty}" + after[colon:]


def _added(text: str, path: Path, value: Any) -> str:
    """A new key at the end of the nearest mapping."""
    depth = len(path) - 1
    while depth and _entry(text, path[:depth]) is None:
        depth -= 1
    above = _entry(text, path[:depth]) if depth else None
    node = above.value if above else yaml.compose(text, Loader=yaml.SafeLoader)
    for part in reversed(path[depth + 1 :]):
        value = {part: value}
    if not isinstance(node, yaml.MappingNode):
        raise NotApplicable("there is no mapping for the key")
    several = _entries(node)
    if node.flow_style or not several:
        at = _to(several[-1].value) if several else _from(node) + 1
        comma = ", " if several else ""
        return text[:at] + f"{comma}{_scalar(path[depth])}: {_scalar(value)}" + text[at:]
    first = _from(several[0].key)
    indent = " " * (first - _line(text, first))
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = to_yaml({path[depth]: value}).rstrip("\n").split("\n")
    new = "".join(f"{indent}{line}{newline}" for line in lines)
    at = _line_end(text, _to(node))
    return text[:at] + ("" if text[:at].endswith("\n") else newline) + new + text[at:]
