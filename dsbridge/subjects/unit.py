"""One thing that is checked by itself: files that belong together, or one launch command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from dsbridge.diagnostics import Diagnostic
from dsbridge.provenance import Source
from dsbridge.reading import COMMAND, Files
from dsbridge.rules import NOTHING


class Unit(NamedTuple):
    """One input of the check pass.

    files, given, command, target, facts, versions: as `explain` takes them. words: where each word of a
    command stands, for one that was read from a script or a guide. guide: the file around it, where it is
    part of a text for people: a script or file that it names need not be there. lone: a DeepSpeed config
    that no framework's file names, so nobody knows who will fill it. found: what reading it told already.
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
    found: tuple[Diagnostic, ...] = ()

    @property
    def name(self) -> str:
        """How people call it."""
        if self.given:
            return ", ".join(self.given)
        return str(self.words[0]) if self.words else "the command"

    def placed(self, finding: Diagnostic) -> Diagnostic:
        """The finding with a place in the text, where the command's words were read from one."""
        number = finding.column
        if finding.file != COMMAND or not number or number > len(self.words):
            return finding
        at = self.words[number - 1]
        return finding._replace(file=at.file, line=at.line, column=at.column)
