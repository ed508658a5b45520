"""A user's JSON text with one key changed: everything else stays, letter for letter.

Texts are cut and joined by offsets, comments and trailing commas included; the result is read again and
must be the old value with only that change.
"""

from __future__ import annotations

import json
import re
from typing import Any

from dsbridge.diagnostics import Edit, InputError
from dsbridge.formats.json import json_error, read_json
from dsbridge.formats.json_nodes import Member, Node, root_of
from dsbridge.formats.tree_edit import NotApplicable, destination, edited, same

Path = tuple[str | int, ...]
_REST = re.compile(r"[ \t]*(?:(?://|\#)[^\n]*|/\*[^\n]*?\*/[ \t]*)?\r?(?:\n|\Z)")


def edit_json(text: str, edit: Edit) -> str:
    """The text after the edit.

    Raises:
        NotApplicable: the key is not there, or the text is none that can be changed safely.
    """
    try:
        before = read_json(text, comments=True).value
        expected = edited(before, edit)
        new = _changed(text, edit)
        if not same(read_json(new, comments=True).value, expected, loosely=bool(json_error(new))):
            raise NotApplicable("the text says this key in a way that cannot be changed safely")
    except InputError as error:
        raise NotApplicable(error.diagnostics[0].message) from None
    except RecursionError:
        raise NotApplicable("the text is nested too deep") from None
    if not json_error(text) and json_error(new):
        raise NotApplicable("the text would no longer be strict JSON")
    return new


def _changed(text: str, edit: Edit) -> str:
    if edit.action == "set":
        return _set(text, edit.path, edit.value)
    if edit.action == "remove":
        return _removed(text, edit.path)
    new = destination(edit)
    member = _member(text, edit.path)
    if member is None:
        raise NotApplicable("the key is not there")
    if new[:-1] == edit.path[:-1] and isinstance(new[-1], str) and _count(text, edit.path) == 1:
        return text[: member.start] + _dumps(new[-1]) + text[member.key_end :]
    raw = text[member.node.start : member.end]
    old_indent = _indent(text, member.start)
    return _added(_removed(text, edit.path), new, lambda indent, step: _moved(raw, old_indent, indent))


def _set(text: str, path: Path, value: Any) -> str:
    while _count(text, path) > 1:  # the last one counts, so those above it say nothing
        text = _without(text, *_first(text, path))
    member = _member(text, path)
    if member is None:
        return _added(text, path, lambda indent, step: _pretty(value, indent, step))
    indent = _indent(text, member.start)
    own_line = not text[_line(text, member.start) : member.start].strip()
    new = _pretty(value, indent if own_line else None, _step(text))
    return text[: member.node.start] + new + text[member.end :]


def _removed(text: str, path: Path) -> str:
    while _count(text, path):
        text = _without(text, *_first(text, path))
        if isinstance(path[-1], int):
            break
    return text


def _parent(text: str, path: Path) -> Node | None:
    """The mapping or list that holds the key."""
    node = root_of(text)
    for part in path[:-1]:
        found = node.named(part)
        if not found:
            return None
        node = found[-1].node
    return node


def _member(text: str, path: Path) -> Member | None:
    parent = _parent(text, path)
    found = parent.named(path[-1]) if parent else []
    return found[-1] if found else None


def _count(text: str, path: Path) -> int:
    parent = _parent(text, path)
    return len(parent.named(path[-1])) if parent else 0


def _first(text: str, path: Path) -> tuple[Node, int]:
    parent = _parent(text, path)
    assert parent is not None
    return parent, parent.members.index(parent.named(path[-1])[0])


def _without(text: str, parent: Node, index: int) -> str:
    """The text without a member, its comma, and its line if it has one of its own."""
    member = parent.members[index]
    start, end = member.start, (member.comma + 1 if member.comma >= 0 else member.end)
    line = _line(text, start)
    rest = _REST.match(text, end)
    if not text[line:start].strip() and rest and line > parent.start:
        start, end = line, rest.end()
    elif member.comma >= 0:
        end += len(text[end:]) - len(text[end:].lstrip(" \t"))
    else:
        start -= len(text[:start]) - len(text[:start].rstrip(" \t"))
    text = text[:start] + text[end:]
    comma = parent.members[index - 1].comma if index and member.comma < 0 else -1
    return text[:comma] + text[comma + 1 :] if comma >= 0 else text


def _added(text: str, path: Path, make: Any) -> str:
    """The text with a new member at the end of the mapping that is nearest; make: its value's text."""
    node, depth = root_of(text), 0
    while depth < len(path) - 1 and (found := node.named(path[depth])):
        node, depth = found[-1].node, depth + 1
    if node.kind != "{":
        raise NotApplicable("there is no mapping for the key")
    step, newline = _step(text), "\r\n" if "\r\n" in text else "\n"
    last = node.members[-1] if node.members else None
    own_lines = bool(last) and not text[_line(text, last.start) : last.start].strip() if last else False
    indent = _indent(text, last.start) if last and own_lines else None
    if last is None and "\n" in text:  # an empty mapping in a text of several lines
        indent = _indent(text, node.start) + step
    value = make(indent if own_lines or last is None else None, step)
    for part in reversed(path[depth + 1 :]):
        value = f"{{{_dumps(part)}: {value}}}"
    entry = f"{_dumps(path[depth])}: {value}"
    if last is None:
        inside = text[node.start + 1 : node.end - 1]
        if indent is None or inside.strip():
            return text[: node.start + 1] + entry + text[node.start + 1 :]
        close = f"{newline}{_indent(text, node.start)}"
        return text[: node.start + 1] + f"{newline}{indent}{entry}{close}" + text[node.end - 1 :]
    at = last.comma + 1 if last.comma >= 0 else last.end
    comma = "" if last.comma >= 0 else ","
    if not own_lines:
        return text[:at] + f"{comma} {entry}" + text[at:]
    beside = _REST.match(text, at)
    after = beside.end() - len(beside[0]) + len(beside[0].rstrip("\r\n")) if beside else at
    return text[:at] + comma + text[at:after] + f"{newline}{indent}{entry}" + text[after:]


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _pretty(value: Any, indent: str | None, step: str) -> str:
    """On lines of its own where the text around it is."""
    if indent is None or not isinstance(value, dict | list) or not value:
        return _dumps(value)
    return json.dumps(value, ensure_ascii=False, indent=step).replace("\n", f"\n{indent}")


def _moved(raw: str, old: str, new: str | None) -> str:
    """A value's text at another depth."""
    return raw if new is None or old == new else raw.replace(f"\n{old}", f"\n{new}")


def _line(text: str, offset: int) -> int:
    return text.rfind("\n", 0, offset) + 1


def _indent(text: str, offset: int) -> str:
    line = text[_line(text, offset) :]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _step(text: str) -> str:
    """How much deeper each level stands."""
    found = re.search(r"^([ \t]+)\S", text, re.MULTILINE)
    return found[1] if found else "  "
