"""JSON text as nodes with offsets: where each key and value starts and ends. Comments are stepped over."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

from dsbridge.formats.json import tokens
from dsbridge.formats.tree_edit import NotApplicable

_PLAIN = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?|true|false|null|NaN|-?Infinity")


class Node(NamedTuple):
    """A value: `kind` is "{", "[" or "" for a scalar."""

    start: int
    end: int
    kind: str
    members: tuple[Member, ...] = ()

    def named(self, part: str | int) -> list[Member]:
        """The members of that name; the last one counts."""
        if self.kind == "[":
            return [self.members[part]] if isinstance(part, int) and part < len(self.members) else []
        return [member for member in self.members if member.name == part]


class Member(NamedTuple):
    """An entry of a mapping or list. start, end: from its key (or value) to the end of the value.

    key_end: of the key's own text. comma: the offset of the comma behind it; -1 for none.
    """

    name: str
    start: int
    key_end: int
    node: Node
    comma: int = -1

    @property
    def end(self) -> int:
        """Behind the value."""
        return self.node.end


class _Token(NamedTuple):
    text: str
    kind: str
    start: int


def root_of(text: str) -> Node:
    """The only value of a text.

    Raises:
        NotApplicable: it is not JSON, even with comments and trailing commas.
    """
    stream = (_Token(m[0], m.lastgroup or "", m.start()) for m in tokens(text) if m.lastgroup != "space")
    node = _value(next(stream, _END), stream)
    if next(stream, _END) is not _END:
        raise _odd()
    return node


_END = _Token("", "end", 0)


def _odd() -> NotApplicable:
    return NotApplicable("the text is more than JSON with comments")


def _value(first: _Token, stream: Iterator[_Token]) -> Node:
    if first.text in ("{", "["):
        return _several(first, stream)
    if first.kind == "text" or (first.kind == "plain" and _PLAIN.fullmatch(first.text)):
        return Node(first.start, first.start + len(first.text), "")
    raise _odd()


def _several(first: _Token, stream: Iterator[_Token]) -> Node:
    members: list[Member] = []
    close = "}" if first.text == "{" else "]"
    token = next(stream, _END)
    while token.text != close or token.kind != "mark":
        member = _member(token, stream, named=close == "}")
        token = next(stream, _END)
        if token.text == "," and token.kind == "mark":
            member = member._replace(comma=token.start)
            token = next(stream, _END)
        elif token.text != close:
            raise _odd()
        members.append(member)
    return Node(first.start, token.start + 1, first.text, tuple(members))


def _member(token: _Token, stream: Iterator[_Token], *, named: bool) -> Member:
    if not named:
        node = _value(token, stream)
        return Member("", node.start, node.start, node)
    if token.kind != "text" or next(stream, _END).text != ":":
        raise _odd()
    name = str(json.loads(token.text))
    return Member(name, token.start, token.start + len(token.text), _value(next(stream, _END), stream))
