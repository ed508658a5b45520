"""The fenced code blocks of a Markdown text, as files of their own that keep their lines.

Only the blocks are parsed (CommonMark, so fences in lists, quotes and longer fences are right); what is
between them is looked at for a file's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

LANGUAGES = {
    **dict.fromkeys(("yaml", "yml"), "yaml"),
    **dict.fromkeys(("json", "jsonc", "json5", "hjson"), "json"),
    **dict.fromkeys(("python", "py", "python3"), "python"),
    **dict.fromkeys(("bash", "sh", "shell", "zsh", "console", "shell-session"), "bash"),
}
_FILE = r"[\w./-]*[\w-]\.(?:ya?ml|json|py|sh)"
_TITLE = re.compile(rf"(?:(?:title|name|file|filename)=|[ :,{{\"'])({_FILE})\b")
_QUOTED = re.compile(rf"`({_FILE})`|\*\*({_FILE})\*\*|^#+ *({_FILE})\s*$")
_COMMENT = re.compile(rf"\s*(?:#|//) *({_FILE})\s*$")


class Block(NamedTuple):
    """One code block. language: yaml, json, python or bash; as written, if another; "" for none.

    line: of its first line in the Markdown (from 1). indent: letters that stand before it there.
    name: the file that it is said to be; "" if nothing says so.
    """

    language: str
    text: str
    line: int
    indent: int = 0
    name: str = ""

    @property
    def placed(self) -> str:
        """The text with as many empty lines before it as make every place one of the Markdown."""
        return "\n" * (self.line - 1) + self.text


def read_markdown(text: str) -> list[Block]:
    """The fenced code blocks, in order."""
    from markdown_it import MarkdownIt  # slow to import, and seldom needed

    text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    parser = MarkdownIt("commonmark").disable("inline")
    return [
        block
        for token in parser.parse(text)
        if token.type == "fence" and token.map
        for block in _block(token.info.strip(), token.content, token.map[0], lines)
    ]


class Span(NamedTuple):
    """Inline code: its text, and where it begins."""

    text: str
    line: int
    column: int


_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")


def inline_code(text: str) -> list[Span]:
    """The inline code between the blocks, in order. One that runs over a line's end is left out."""
    from markdown_it import MarkdownIt

    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    parser = MarkdownIt("commonmark").enable("table").disable("inline")
    numbers = {
        number
        for token in parser.parse("\n".join(lines))
        if token.type in ("inline", "paragraph_open", "heading_open", "tr_open") and token.map
        for number in range(*token.map)
    }
    return [
        Span(found[2].strip(), number + 1, found.start(2) + 1)
        for number in sorted(numbers)
        for found in _SPAN.finditer(lines[number])
    ]


_SUFFIX = {"yaml": "yaml", "json": "json", "python": "py"}


def files_of(text: str, name: str) -> dict[str, str]:
    """The blocks that hold a config or a program, as texts by file name; one that nothing names is called
    after its line, as `notes.md:12.yaml`."""
    return {
        block.name or f"{name}:{block.line}.{_SUFFIX[block.language]}": block.placed
        for block in read_markdown(text)
        if block.language in _SUFFIX
    }


def _block(info: str, text: str, fence: int, lines: list[str]) -> Iterator[Block]:
    """fence: the index of the line of the opening fence."""
    if not text.strip():
        return
    word = re.split(r"[\s,:{]", info, maxsplit=1)[0].lower()
    yield Block(
        LANGUAGES.get(word, word),
        text,
        fence + 2,
        _indent(text, lines[fence + 1 :]),
        _name(info, text, lines[:fence]),
    )


def _indent(text: str, lines: list[str]) -> int:
    """What stands before each line in a list or a quote."""
    for ours, theirs in zip(text.split("\n"), lines, strict=False):
        if ours.strip():
            return max(theirs.find(ours), 0)
    return 0


def _name(info: str, text: str, before: list[str]) -> str:
    """```yaml title="ds.yaml"```, or a first line `# ds.yaml`, or a name alone in the line above."""
    titled = _TITLE.search(info)
    if titled:
        return titled[1]
    first = next((line for line in text.split("\n") if line.strip()), "")
    commented = _COMMENT.match(first)
    if commented:
        return commented[1]
    above = next((line.strip() for line in reversed(before) if line.strip()), "")
    quoted = [match for match in _QUOTED.finditer(above) if len(above) < 200]
    return next(filter(None, quoted[0].groups()), "") if len(quoted) == 1 else ""
