"""Which files may be read: those in the folders that the user named, and what lies below the working folder.

A config from somebody else may name any file of this machine. It is read only where it stays in the folder
of a file that stands on the command line; `..`, absolute names and links that leave it are refused.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.provenance import Source

OUTSIDE = Code("IN007", "outside", Severity.ERROR, "A file that the input names lies outside of its folder.")
CODES = (OUTSIDE,)

# Descriptions of models and data: often elsewhere, and everything can be told without them.
_OPTIONAL = ("config.json", "adapter_config.json", "dataset_info.json")


class Bounds:
    """What the user named, as real paths. given: files, and commands in quotes; command: its words."""

    def __init__(self, given: Iterable[str] = (), command: Sequence[str] = ()) -> None:
        self.folders: set[str] = set()
        self.files: set[str] = set()
        self._reals: dict[Path, str] = {}
        for name in given:
            if not self._named(name):
                command = (*command, *_words([name]))  # a command in quotes
        for name in _words(command):
            self._named(name)

    def _named(self, name: str) -> bool:
        path = Path(name)
        try:
            if path.is_dir():
                self.folders.add(_real(path))
            elif name and path.exists():
                self.files.add(_real(path))
                self.folders.add(self._folder(path.parent))
            return path.exists()
        except (OSError, ValueError):
            return False

    def _folder(self, path: Path) -> str:
        """Its real path; many files lie in one."""
        if path not in self._reals:
            self._reals[path] = _real(path)
        return self._reals[path]

    def refusal(self, folder: Path, name: str) -> Diagnostic | None:
        """Why a file is not read; None for one that is. A warning where nobody needs it.

        folder: where the command runs.
        """
        try:
            real, here = _real(folder / name), self._folder(folder)
        except (OSError, ValueError):
            return None  # no such name: reading it says so
        path = Path(name)
        plain = not path.is_absolute() and ".." not in path.parts and _inside(real, here)
        if plain or real in self.files or any(_inside(real, folder) for folder in self.folders):
            return None
        hint = "Name it, or a file beside it, on the command line; or pass --allow-outside."
        where = f", a link to {real}," if (folder / path).is_symlink() else ""
        message = f"{name}{where} lies outside of the folders of the files that you named: it is not read"
        severity = Severity.WARNING if path.name in _OPTIONAL else Severity.ERROR
        return OUTSIDE(message, hint=hint, at=Source(name), severity=severity)


def _words(command: Sequence[str]) -> list[str]:
    """The words of a command, and what they say behind `=`. One word may be a whole command line."""
    words = list(command)
    if len(words) == 1:
        try:
            words = shlex.split(words[0])
        except ValueError:
            return []
    return [part for word in words for part in dict.fromkeys((word, word.partition("=")[2])) if part]


def _real(path: Path) -> str:
    return os.path.realpath(path)


def _inside(real: str, folder: str) -> bool:
    return real == folder or real.startswith(folder.rstrip(os.sep) + os.sep)
