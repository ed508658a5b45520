"""The commands of a shell script, with the place of every word. Nothing is run.

Variables that the script sets to plain text, and defaults as in `${GPUS:-8}`, are put in; of others the
word keeps its `$NAME`. A command that a comment cuts in two (`\\ # why`) is read as its author meant it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from dsbridge.provenance import Source

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

_PROMPT = re.compile(r"^([ \t]*)\$ ", re.MULTILINE)
# `<config>` and `[options]` in a guide would be redirections and patterns
_BLANK_TO_FILL = re.compile(r"<[\w .:/-]+>")
_CUT = re.compile(r"\\[ \t]+#")


class Command(NamedTuple):
    """One command: its words (assignments in front of it first) and their places.

    cut: where a comment behind a backslash ends it, so that the shell runs what follows as other commands.
    """

    words: tuple[str, ...]
    places: tuple[Source, ...]
    cut: tuple[Source, ...] = ()


@cache
def _parser() -> Parser:
    import tree_sitter_bash  # slow to import, and few inputs have a script
    from tree_sitter import Language, Parser

    return Parser(Language(tree_sitter_bash.language()))


def read_shell(text: str, file: str) -> list[Command]:
    """The commands in order, also those inside loops and conditions."""
    reader = _Reader(text, file)
    reader.visit(_parser().parse(reader.data).root_node)
    return [command for command in reader.commands if command.words]


class _Reader:
    """One script in progress."""

    def __init__(self, text: str, file: str) -> None:
        prompts = _PROMPT.sub(r"\1  ", text)
        plain = _BLANK_TO_FILL.sub(lambda m: re.sub(r"\W", "_", m[0]), prompts)
        self.data, self.file = plain.encode(), file
        self.lines = plain.split("\n")
        self.names: dict[str, str] = {}
        self.exported: dict[str, tuple[str, Source]] = {}
        self.commands: list[Command] = []
        self.cut: Source | None = None

    def visit(self, node: Node) -> None:
        """Depth first; what a function or a loop holds is read once."""
        if node.type == "command":
            self.command(node)
            return
        if node.type in ("variable_assignment", "declaration_command"):
            self.assign(node)
            return
        if node.type == "comment" and _CUT.search(self.lines[node.start_point[0]]):
            line = node.start_point[0]
            column = self.lines[line].index("\\", max(0, self._letters(line, node.start_point[1]) - 40))
            self.cut = Source(self.file, line + 1, column + 1)
            return
        for child in node.children:
            self.visit(child)

    def command(self, node: Node) -> None:
        words, places = [], []
        for child in node.children:
            if child.type in ("file_redirect", "heredoc_redirect", "herestring_redirect"):
                continue
            word = self.word(child)
            bare = child.type in ("simple_expansion", "expansion")  # unquoted: the shell splits it
            several = word.split() if bare else [word]
            words += several
            places += [self.place(child)] * len(several)
        if self.cut and words and words[0].startswith("-") and self.commands:
            before = self.commands.pop()
            words, places = [*before.words, *words], [*before.places, *places]
            self.commands.append(Command(tuple(words), tuple(places), (*before.cut, self.cut)))
        else:
            front = {
                name: entry for name, entry in self.exported.items() if f"{name}=" not in " ".join(words)
            }
            words = [*(f"{name}={value}" for name, (value, _) in front.items()), *words]
            places = [*(place for _, place in front.values()), *places]
            self.commands.append(Command(tuple(words), tuple(places)))
        self.cut = None

    def assign(self, node: Node) -> None:
        if node.type == "declaration_command":
            inner = [child for child in node.children if child.type == "variable_assignment"]
            for child in inner:
                self.assign(child)
            if node.children[0].type == "export":
                for child in inner:
                    name = _text(child).partition("=")[0]
                    self.exported[name] = (self.names.get(name, ""), self.place(child))
            return
        named, value = node.child_by_field_name("name"), node.child_by_field_name("value")
        if named is not None and value is not None:
            self.names[_text(named)] = self.word(value)

    def word(self, node: Node) -> str:
        """A word as the shell would hand it over."""
        kind = node.type
        if kind == "raw_string":
            return _text(node)[1:-1]
        if kind in ("simple_expansion", "expansion"):
            return self.expanded(node)
        if kind == "string":
            return "".join(self.word(c) for c in node.children if c.type != '"')
        if kind == "variable_assignment":
            value = node.child_by_field_name("value")
            name = node.child_by_field_name("name")
            return f"{_text(name) if name else ''}={self.word(value) if value is not None else ''}"
        if kind in ("concatenation", "command_name"):
            return "".join(self.word(child) for child in node.children)
        return re.sub(r"\\\n|\\(?=.)", "", _text(node)) if kind == "word" else _text(node)

    def expanded(self, node: Node) -> str:
        text = _text(node)
        found = re.fullmatch(r"\$\{?(\w+)(?::?-([^}]*))?\}?", text)
        if found is None:
            return text
        return self.names.get(found[1], found[2] if found[2] is not None else text)

    def place(self, node: Node) -> Source:
        line, byte = node.start_point
        return Source(self.file, line + 1, self._letters(line, byte) + 1)

    def _letters(self, line: int, byte: int) -> int:
        return len(self.lines[line].encode()[:byte].decode(errors="ignore"))


def _text(node: Any) -> str:
    return (node.text or b"").decode()


def commands_of(text: str, file: str, first: int = 1) -> Iterator[Command]:
    """The commands of a block of a text, whose first line has the number `first` there."""
    for command in read_shell(text, file):
        yield command._replace(
            places=tuple(_later(place, first) for place in command.places),
            cut=tuple(_later(place, first) for place in command.cut),
        )


def _later(place: Source, first: int) -> Source:
    return place._replace(line=(place.line or 1) + first - 1)
