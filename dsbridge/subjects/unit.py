"""One thing that is checked by itself: files that belong together, or one launch command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from dsbridge.diagnostics import Diagnostic
from dsbridge.formats.markdown import Span
from dsbridge.formats.shell import Command
from dsbridge.prediction import is_spec
from dsbridge.provenance import Source
from dsbridge.reading import COMMAND, Files
from dsbridge.rules import NOTHING


class Unit(NamedTuple):
    """One input of the check pass.

    files, given, command, target, facts, versions: as `explain` takes them. words: where each word of a
    command stands, for one that was read from a script or a guide. guide: the file around it, where it is
    part of a text for people: a script or file that it names need not be there. lone: a DeepSpeed config
    that no framework's file names, so nobody knows who will fill it; part: only some of its lines are shown.
    blocks: the code blocks of the guide that are files here, and how far each is indented there. commands: of
    a shell script, where the unit is the script itself; spans: the inline code of a guide, where it is that.
    """

    files: Files
    given: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    target: str = ""
    facts: Mapping[str, Any] = NOTHING
    versions: Mapping[str, str] = NOTHING
    words: tuple[Source, ...] = ()
    guide: str = ""
    lone: bool = False
    part: bool = False
    blocks: Mapping[str, int] = NOTHING
    commands: tuple[Command, ...] = ()
    spans: tuple[Span, ...] = ()

    @property
    def text_only(self) -> bool:
        """True for a script or a guide looked at as a text: nothing is to be resolved."""
        return bool(self.commands or self.spans)

    @property
    def is_spec(self) -> bool:
        """True for a dsbridge.yaml."""
        return len(self.given) == 1 and not self.guide and is_spec(self.files, self.given[0])

    @property
    def name(self) -> str:
        """How people call it."""
        if self.guide or self.given:
            return self.guide or ", ".join(self.given)
        return self.words[0].file if self.words else "the command"

    def source(self, span: Span) -> Source:
        """Where inline code stands."""
        return Source(self.given[0], span.line, span.column)

    def placed(self, finding: Diagnostic) -> Diagnostic:
        """The finding with a place in the text that the unit was read from; at least the file."""
        if finding.file is None and (self.guide or self.given or self.words):
            place = self.words[0] if self.words else Source(self.guide or self.given[0])
            return finding._replace(file=place.file, line=place.line, column=place.column)
        if self.guide and finding.file and finding.file in self.blocks:
            column = finding.column + self.blocks[finding.file] if finding.column else None
            return finding._replace(file=self.guide, column=column)
        number = finding.column
        if finding.file != COMMAND or not number or number > len(self.words):
            return finding
        at = self.words[number - 1]
        return finding._replace(file=at.file, line=at.line, column=at.column)
