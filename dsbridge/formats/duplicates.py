"""Keys that a text says twice in one mapping: most readers keep the last, and none says so.

For texts that have been read already, so that their depth and size are bounded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from dsbridge.formats.document import Path_
from dsbridge.provenance import Source

_MANY = 50  # of one text


class Twice(NamedTuple):
    """path: of the key. first, last: where it stands. same: both say the same."""

    path: Path_
    first: Source
    last: Source
    same: bool


def duplicates(text: str, file: str) -> list[Twice]:
    """Of YAML or JSON, which is YAML with few exceptions; none for a text that is neither."""
    import yaml

    if not _has_any(text):
        return []
    try:
        node = yaml.compose(_as_yaml(text), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, RecursionError):
        return []
    return list(_below(node, (), file))[:_MANY] if node is not None else []


def _has_any(text: str) -> bool:
    """Strict JSON is asked of the fast parser first."""
    found = False

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found
        made = dict(items)
        found = found or len(made) != len(items)
        return made

    try:
        json.loads(text, object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        return True  # not JSON: nobody knows
    return found


def _as_yaml(text: str) -> str:
    """YAML takes no tabs where JSON does."""
    return text.replace("\t", " ")


def _below(node: Any, path: Path_, file: str) -> Iterator[Twice]:
    if isinstance(node.value, str):
        return
    if node.id == "sequence":
        for index, item in enumerate(node.value):
            yield from _below(item, (*path, index), file)
        return
    seen: dict[str, tuple[Any, Any]] = {}
    for key, value in node.value:
        name = key.value if isinstance(key.value, str) else ""
        if name and name in seen:
            first, before = seen[name]
            yield Twice((*path, name), _at(first, file), _at(key, file), _plain(before) == _plain(value))
        seen[name] = (key, value)
        yield from _below(value, (*path, name), file)


def _at(node: Any, file: str) -> Source:
    return Source(file, node.start_mark.line + 1, node.start_mark.column + 1)


def _plain(node: Any) -> Any:
    """The node's value, to be compared."""
    if isinstance(node.value, str):
        return node.value
    if node.id == "sequence":
        return [_plain(item) for item in node.value]
    return [(_plain(key), _plain(value)) for key, value in node.value]
