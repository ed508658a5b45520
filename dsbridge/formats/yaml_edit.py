"""A user's YAML file, edited in place: comments, order and quotes stay.

ruamel.yaml keeps comments, but hangs each on the key above it, so they would go with that key. Keys are
therefore taken out of the written text, by lines, where a comment below a key is nobody's but its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, MutableMapping
from copy import copy
from io import StringIO
from typing import Any, TypeAlias

import yaml

from dsbridge.diagnostics import Code, InputError, Severity
from dsbridge.formats.yaml_text import to_yaml
from dsbridge.provenance import Source

NO_EDITOR = Code("IN005", "no-yaml-editor", Severity.ERROR, "--base needs a library that keeps comments.")
BAD_BASE = Code("IN006", "bad-base", Severity.ERROR, "The base file is no YAML mapping that can be edited.")
CODES = (NO_EDITOR, BAD_BASE)

KeyPath: TypeAlias = tuple[str, ...]

_START = re.compile(r"\A((?:[ \t]*(?:#.*)?\n)*)---(?=\s)")  # ruamel loses the comments above it
_WRITTEN_BY = "# Written by dsbridge "
_TEXT = ("|", ">")  # styles of text in lines of its own
_REPLACED = " replaced by dsbridge"  # the name of an old block until its lines are taken out


class YamlEdit(MutableMapping[str, Any]):
    """The keys of the file. A change keeps the comments around it; new keys stand under a comment.

    Raises:
        InputError: ruamel.yaml is missing, or the text is no YAML mapping with names as keys.
    """

    def __init__(self, name: str, text: str) -> None:
        self._name, self._text = name, text
        self._editor = _editor()
        self._tree = self._load()
        self._indent = _indentation(self._tree)
        self._editor.indent(mapping=self._indent)
        self._gone: set[KeyPath] = set()
        self._commented: set[KeyPath] = set()  # mappings that have the comment over their new keys

    def __getitem__(self, key: str) -> Any:
        if (key,) in self._gone:
            raise KeyError(key)
        return self._tree[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.set((key,), value)

    def __delitem__(self, key: str) -> None:
        self.remove((key,))

    def __iter__(self) -> Iterator[str]:
        return (key for key in self._tree if (key,) not in self._gone)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def has(self, path: KeyPath) -> bool:
        """True for a key that is there; a nested one is named by all keys above it, too."""
        node = self._tree
        for end, key in enumerate(path, start=1):
            if not isinstance(node, dict) or key not in node or path[:end] in self._gone:
                return False
            node = node[key]
        return True

    def at(self, path: KeyPath) -> Source:
        """The line of the key in the user's file."""
        try:
            return Source(self._name, int(self._parent(path).lc.key(path[-1])[0]) + 1)
        except KeyError:  # not the file's own: added, or by a merge
            return Source(self._name)

    def set(self, path: KeyPath, value: Any) -> None:
        """Set a key where it stands, or at the end of its mapping."""
        for end in range(1, len(path)):
            if not isinstance(self._parent(path[: end + 1]), dict):
                for key in reversed(path[end:]):
                    value = {key: value}
                self._commented.add(path[:end])  # the comment above it says it for all
                path = path[:end]
                break
        self._put(path, _node(value))

    def remove(self, path: KeyPath) -> None:
        """Take a key out. Comments inside its block go with it, and the one on its own line."""
        parent, key = self._parent(path), path[-1]
        if key not in (parent.lc.data or {}):
            message = f"`{'.'.join(path)}` must go, but comes by a merge (`<<`)"
            hint = "Write the keys out in the mapping where they are to hold."
            raise InputError([BAD_BASE(message, hint=hint, at=Source(self._name, parent.lc.line + 1))])
        if self._in_lines(path) and not _has_anchor(parent[key]):
            self._gone.add(path)
        else:
            del parent[key]

    def text(self, header: str) -> str:
        """The edited file under a comment; the comment of an earlier rendering is replaced."""
        kept = _without(self._editor, self._dumped(), self._gone)
        if kept.startswith(_WRITTEN_BY):
            kept = kept.partition("\n")[2]
        return f"# {header}\n{kept}"

    def as_pyyaml(self) -> dict[str, Any]:
        """The user's file as PyYAML reads it, to which `no` is false and `1e-5` text."""
        try:
            found = yaml.safe_load(self._text)
        except yaml.YAMLError as error:
            raise _not_yaml(self._name, error) from None
        assert isinstance(found, dict)
        return found

    def _load(self) -> Any:
        from ruamel.yaml.error import YAMLError

        try:
            found = self._editor.load(_START.sub(r"\1", self._text))
        except (YAMLError, ValueError, RecursionError) as error:
            raise _not_yaml(self._name, error) from None
        if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
            message = "the file holds no mapping of names to values"
            raise InputError([BAD_BASE(message, at=Source(self._name, 1))])
        return found

    def _dumped(self) -> str:
        out = StringIO()
        self._editor.dump(self._tree, out)
        return out.getvalue()

    def _parent(self, path: KeyPath) -> Any:
        node = self._tree
        for key in path[:-1]:
            node = node.get(key)
        return node

    def _in_lines(self, path: KeyPath) -> bool:
        """True when every mapping around the key is a block of its own lines."""
        above = [self._parent(path[:end]) for end in range(1, len(path) + 1)]
        return not any(each.fa.flow_style() or each.yaml_anchor() for each in above)

    def _put(self, path: KeyPath, value: Any) -> None:
        parent, key = self._parent(path), path[-1]
        self._gone.discard(path)
        if key not in parent:
            below = _comments_below(parent) if len(path) > 1 else None
            parent[key] = value
            self._tell_added(parent, path)
            if below:
                _hang(below, parent, key)
        elif _is_block(parent[key], value) and self._in_lines(path) and not _has_anchor(parent[key]):
            self._replace_block(parent, path, value)
        else:
            parent[key] = value

    def _tell_added(self, parent: Any, path: KeyPath) -> None:
        if path[:-1] not in self._commented and not parent.fa.flow_style():
            indent = self._indent * (len(path) - 1)
            parent.yaml_set_comment_before_after_key(path[-1], before="added by dsbridge", indent=indent)
            self._commented.add(path[:-1])

    def _replace_block(self, parent: Any, path: KeyPath, value: Any) -> None:
        """The old value stays below the new one until its lines go, and holds the comments below both."""
        key, old = path[-1], parent[path[-1]]
        place = list(parent).index(key)
        comments = parent.ca.items.pop(key, None)
        line = parent.lc.data.get(key) if parent.lc.data else None
        del parent[key]
        parent.insert(place, key, value)
        parent.insert(place + 1, key + _REPLACED, old)
        if line:
            parent.lc.data[key] = line
        if comments:
            parent.ca.items[key + _REPLACED] = [comments[0], None, *comments[2:]]
            parent.ca.items[key] = [None, comments[1], None, None]
            is_text = getattr(old, "style", None) in _TEXT  # has nothing beside it
            beside = comments[2].value.partition("\n")[0] if comments[2] and not is_text else ""
            if beside:
                parent.yaml_add_eol_comment(beside, key)
        self._gone.add((*path[:-1], key + _REPLACED))


def _editor() -> Any:
    try:
        from ruamel.yaml import YAML
        from ruamel.yaml.representer import RoundTripRepresenter
    except ImportError:
        hint = 'Install it: pip install "dsbridge[edit]".'
        raise InputError([NO_EDITOR("--base needs ruamel.yaml", hint=hint)]) from None

    class Representer(RoundTripRepresenter):  # type: ignore[misc,unused-ignore]
        """Floats as PyYAML writes them: to it `1e-05` is text."""

    def number(representer: Any, value: float) -> Any:
        return representer.represent_scalar("tag:yaml.org,2002:float", to_yaml(value).split("\n")[0])

    Representer.add_representer(float, number)
    editor = YAML()
    editor.Representer = Representer
    editor.preserve_quotes = True
    editor.width = 10**6
    return editor


def _indentation(tree: Any) -> int:
    """That of the first mapping inside; two is usual."""
    for each in tree.values():
        if hasattr(each, "ca") and hasattr(each, "keys") and each.lc.data and not each.fa.flow_style():
            return next((int(place[1]) for place in each.lc.data.values() if 1 < place[1] < 10), 2)
    return 2


def _not_yaml(name: str, error: Any) -> InputError:
    """What a reader of either library says, on one line, with its place."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    said = getattr(error, "problem", None) or str(error) or type(error).__name__
    at = Source(name, mark.line + 1, mark.column + 1) if mark else Source(name, 1)
    return InputError([BAD_BASE(f"not YAML: {str(said).splitlines()[0]}", at=at)])


def _node(value: Any) -> Any:
    """A value as ruamel must hold it for PyYAML to read the same: YAML 1.1 has other bare words."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString, SingleQuotedScalarString

    if isinstance(value, str):
        quotes = {"'": SingleQuotedScalarString, '"': DoubleQuotedScalarString}
        return quotes.get(to_yaml([value])[2:3], str)(value)
    if isinstance(value, dict):
        return CommentedMap((key, _node(each)) for key, each in value.items())
    return CommentedSeq(_node(each) for each in value) if isinstance(value, list) else value


def _comments_below(mapping: Any) -> Any:
    """Take the comments from its last key that are less deep: they belong to what follows the mapping."""
    if not mapping:
        return None
    items, at = _last(mapping, next(reversed(mapping)))
    token = items[at]
    if token is None:
        return None
    beside, *lines = token.value.split("\n")
    deep = [n for n, line in enumerate(lines, start=1) if line.strip() and not _is_left_of(line, mapping)]
    split = deep[-1] if deep else 0
    below = copy(token)
    below.value = "\n".join(["", *lines[split:]])
    token.value = "\n".join([beside, *lines[:split], ""])
    if not token.value.strip("\n"):
        items[at] = None
    return below if below.value.strip("\n") else None


def _is_left_of(line: str, mapping: Any) -> bool:
    column = mapping.lc.col  # none for a new mapping: no comment is inside it
    return column is None or len(line) - len(line.lstrip()) < column


def _hang(comments: Any, mapping: Any, key: str) -> None:
    items, at = _last(mapping, key)
    items[at] = comments


def _last(parent: Any, key: Any) -> tuple[list[Any], int]:
    """Where ruamel hangs the comments that stand below a key: at the last line of its value."""
    value: Any = parent[key]
    while hasattr(value, "fa") and value and not value.fa.flow_style():
        parent, key = value, next(reversed(value)) if hasattr(value, "keys") else len(value) - 1
        value = parent[key]
    return parent.ca.items.setdefault(key, [None] * 4), 2 if isinstance(parent, dict) else 0


def _is_block(*values: Any) -> bool:
    return any(isinstance(each, dict | list) or getattr(each, "style", None) in _TEXT for each in values)


def _has_anchor(value: Any) -> bool:
    """True when another place may name this value, or one inside it, by `*anchor`."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    anchor = getattr(value, "anchor", None)
    return bool(anchor and anchor.value) or any(_has_anchor(each) for each in inner)


def _without(editor: Any, text: str, gone: set[KeyPath]) -> str:
    """The text without the lines of these keys; a mapping that loses all its keys is `{}`."""
    if not gone:
        return text
    root = editor.compose(text)
    keys = sorted(set(_keys(root)))
    edits = [(*_lines(text, start, keys), "") for start in _cuts(root, (), gone)]
    for end in _emptied(root, (), gone):
        colon = text.index(":", end) + 1
        edits.append((colon, colon, " {}"))
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text if any((key.value,) not in gone for key, _ in root.value) else text + "{}\n"


def _keys(node: Any) -> Iterator[tuple[int, int]]:
    """Where in the text keys start that have lines of their own, and their columns."""
    if isinstance(node.value, list) and not node.flow_style:
        for each in node.value:
            key, value = each if isinstance(each, tuple) else (None, each)
            if key:
                yield key.start_mark.index, key.start_mark.column
            if not value.anchor:  # an alias leads elsewhere, perhaps to itself
                yield from _keys(value)


def _cuts(node: Any, above: KeyPath, gone: set[KeyPath]) -> Iterator[int]:
    """Where the keys start that go; those inside another that goes need no mention."""
    for key, value in _nested(node):
        path = (*above, key.value)
        if path in gone:
            yield key.start_mark.index
        else:
            yield from _cuts(value, path, gone)


def _emptied(node: Any, above: KeyPath, gone: set[KeyPath]) -> Iterator[int]:
    """Where the keys end whose mappings stay, but lose all that is in them."""
    for key, value in _nested(node):
        path = (*above, key.value)
        inner = [(*path, each.value) for each, _ in _nested(value)]
        if path not in gone:
            if inner and gone.issuperset(inner):
                yield key.end_mark.index
            yield from _emptied(value, path, gone)


def _nested(node: Any) -> list[tuple[Any, Any]]:
    is_block = isinstance(node.value, list) and not node.flow_style and not node.anchor
    return [each for each in node.value if isinstance(each, tuple)] if is_block else []


def _lines(text: str, key: int, keys: list[tuple[int, int]]) -> tuple[int, int]:
    """From the key's line to the end of its value and of the comments inside that.

    Comments below it that are not deeper than the key belong to what follows, and stay.
    """
    start = text.rfind("\n", 0, key) + 1
    column = key - start
    limit = next((at - col for at, col in keys if at > key and col <= column), len(text))
    lines = [f"{line}\n" for line in text[start:limit].split("\n")]
    content = max(n for n, line in enumerate(lines, start=1) if line.strip() and line.lstrip()[0] != "#")
    end = content
    for n, line in enumerate(lines[content:] if content > 1 else (), start=content + 1):
        depth = len(line) - len(line.lstrip())
        if line.strip() and depth <= column:
            break
        end = n if line.strip() else end
    if text[:start].endswith("\n\n"):  # between two empty lines: one is enough
        end += end < len(lines) - 1 and not lines[end].strip()
    return start, min(start + sum(map(len, lines[:end])), limit)
