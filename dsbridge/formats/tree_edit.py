"""What an edit makes of a plain value: the meaning that the editors of texts are held to."""

from __future__ import annotations

from typing import Any

from dsbridge.diagnostics import Edit
from dsbridge.trees import copied
from dsbridge.values import UNSET


class NotApplicable(ValueError):
    """The edit does not fit the file as it is now, or its text cannot be changed safely."""


def value_at(tree: Any, path: tuple[str | int, ...]) -> Any:
    """The value at a path; UNSET if there is none."""
    for part in path:
        if not _has(tree, part):
            return UNSET
        tree = tree[part]
    return tree


def _has(node: Any, part: str | int) -> bool:
    if isinstance(node, list):
        return isinstance(part, int) and 0 <= part < len(node)
    return isinstance(node, dict) and part in node


def edited(value: Any, edit: Edit) -> Any:
    """A copy with the change.

    Raises:
        NotApplicable: the key is not there, its new place is taken, or a mapping on the way is none.
    """
    tree, path = copied(value), edit.path
    if not path:
        raise NotApplicable("the edit names no key")
    said = ".".join(map(str, path))
    if edit.action == "set":
        _put(tree, path, copied(edit.value))
        return tree
    old = value_at(tree, path)
    if old is UNSET:
        raise NotApplicable(f"`{said}` is not there any more")
    parent = value_at(tree, path[:-1])
    if edit.action == "remove":
        del parent[path[-1]]
    elif edit.action in ("rename", "move"):
        new = destination(edit)
        if new[: len(path)] == path:
            raise NotApplicable(f"`{said}` cannot go into itself")
        if value_at(tree, new) is not UNSET:
            raise NotApplicable(f"`{'.'.join(map(str, new))}` is there already")
        del parent[path[-1]]
        _put(tree, new, old)
    else:
        raise NotApplicable(f"nobody knows the action `{edit.action}`")
    return tree


def destination(edit: Edit) -> tuple[str | int, ...]:
    """Where a rename or a move puts the value."""
    return tuple(edit.value) if edit.action == "move" else (*edit.path[:-1], str(edit.value))


def same(a: Any, b: Any, *, loosely: bool = False) -> bool:
    """Equal, and of equal types: 1, 1.0 and true are three values. loosely: 1 is 1.0, as to hjson."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key], loosely=loosely) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same(x, y, loosely=loosely) for x, y in zip(a, b, strict=True))
    numbers = loosely and {type(a), type(b)} <= {int, float}
    return (numbers or type(a) is type(b)) and (a == b or (a != a and b != b))  # NaN is not equal to itself


def _put(tree: Any, path: tuple[str | int, ...], value: Any) -> None:
    """Set a value, making the mappings above it."""
    node = tree
    for part in path[:-1]:
        inner = value_at(node, (part,))
        if inner is UNSET and isinstance(node, dict):
            inner = node[part] = {}
        node = inner
    last = path[-1]
    if not _has(node, last) and not (isinstance(node, dict) and isinstance(last, str)):
        raise NotApplicable(f"there is no mapping for `{'.'.join(map(str, path))}`")
    node[last] = value
