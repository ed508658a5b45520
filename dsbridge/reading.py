"""What a user gives to explain: files, or a launch command that is read and never run.

Launchers (`torchrun`, `accelerate launch`, `llamafactory-cli train`, ...) take words off the front of the
command and say what they mean; what remains is the program, a script or `-m module`, with its arguments.
Then one framework reads the rest into trees for its rules. Files without a command are turned by their
framework into the command that they belong to, so there is one way in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from dsbridge.bounds import Bounds
from dsbridge.diagnostics import Diagnostic, InputError, Severity
from dsbridge.formats.document import UNREADABLE, Document, Path_, read_text
from dsbridge.formats.json import read_json
from dsbridge.formats.yaml import read_yaml
from dsbridge.provenance import Places, Source
from dsbridge.rules import NOTHING, Program
from dsbridge.values import Unknown

if TYPE_CHECKING:  # explaining needs none of it
    from dsbridge.claims import Draft

COMMAND = "command"  # the file name of a place in the launch command; its column is the word's number


class Files:
    """The user's files, by path relative to the folder the command runs in.

    memory: texts that are not on disk, or not yet; with `alone` there is nothing else.
    bounds: what may be read of the disk; without, everything. left_out: what was asked for beyond them.
    A name that a FILE argument says is looked for beside that file first (`near`), then where the command
    runs.
    """

    def __init__(
        self,
        folder: Path | None = None,
        memory: Mapping[str, str] | None = None,
        *,
        alone: bool = True,
        bounds: Bounds | None = None,
    ) -> None:
        self.folder, self.memory = folder or Path(), dict(memory or {})
        self.disk, self.bounds = memory is None or not alone, bounds
        self.left_out: dict[str, Diagnostic] = {}
        # several readers look at each file: it is read once
        self._there: dict[str, bool] = {}
        self._texts: dict[str, str] = {}
        self._documents: dict[tuple[str, str], Document] = {}
        self._given: tuple[str, ...] = ()
        self._folders: tuple[str, ...] = ()
        self._found: dict[str, str] = {}

    def near(self, given: Sequence[str]) -> Files:
        """The same files for these FILE arguments: what they name may lie beside them."""
        found = Files(self.folder, self.memory if self.memory or not self.disk else None,
                      alone=not self.disk, bounds=self.bounds)  # fmt: skip
        folders = (PurePath(name).parent.as_posix() for name in given)
        found._given = tuple(given)
        found._folders = tuple(dict.fromkeys(folder for folder in folders if folder != "."))
        return found

    def over(self, texts: Mapping[str, str]) -> Files:
        """The same files, with these texts in the place of some, or beside them."""
        memory = {**self.memory, **{_normal(name): text for name, text in texts.items()}}
        found = Files(self.folder, memory, alone=not self.disk, bounds=self.bounds)
        found._given, found._folders = self._given, self._folders
        return found

    def _place(self, path: str) -> str:
        """Where a name is found: beside a given file, or as it stands."""
        if not self._folders or path in self._given or PurePath(path).is_absolute():
            return path
        if path not in self._found:
            beside = (f"{folder}/{path}" for folder in self._folders)
            self._found[path] = next((name for name in beside if self._exists(name)), path)
        return self._found[path]

    def _exists(self, path: str) -> bool:
        if self.memory and _normal(path) in self.memory:
            return True
        try:
            return self.disk and self._at(path).is_file()
        except (OSError, ValueError):
            return False

    def has(self, path: str) -> bool:
        """True for a file that can be read."""
        if path not in self._there:
            self._there[path] = self._has(self._place(path))
        return self._there[path]

    def _has(self, path: str) -> bool:
        if self.memory and _normal(path) in self.memory:
            return True
        there = self._exists(path)
        refusal = self.bounds.refusal(self.folder, path) if there and self.bounds else None
        if refusal is None or refusal.severity is Severity.ERROR:
            return there  # reading it, if somebody does, tells why it is not read
        self.left_out[path] = refusal
        return False

    def _at(self, path: str) -> Path:
        """As this process finds it."""
        return self.folder / path

    def is_folder(self, path: str) -> bool:
        """True for a folder on disk."""
        return self.disk and self._at(path).is_dir()

    def text(self, path: str) -> str:
        """The text of a file.

        Raises:
            InputError: absent, a folder, too large, no text, out of bounds.
        """
        if path not in self._texts:
            self._texts[path] = self._text(self._place(path))
        return self._texts[path]

    def _text(self, path: str) -> str:
        if self.memory and _normal(path) in self.memory:
            return self.memory[_normal(path)]
        if not self.disk:
            message = f"cannot read {path}: No such file or directory"
            raise InputError([UNREADABLE(message, at=Source(path))])
        if refusal := self._refusal(path):
            raise InputError([refusal])
        return read_text(self._at(path))

    def _refusal(self, path: str) -> Diagnostic | None:
        """Why a file is out of bounds."""
        refusal = self.bounds.refusal(self.folder, path) if self.bounds else None
        if refusal:
            self.left_out[path] = refusal
        return refusal

    def json(self, path: str, *, comments: bool = False) -> Document:
        """The JSON of a file, with places."""
        kind = "json with comments" if comments else "json"
        if (path, kind) not in self._documents:
            self._documents[path, kind] = read_json(self.text(path), self._place(path), comments=comments)
        return self._documents[path, kind]

    def yaml(self, path: str) -> Document:
        """The YAML of a file as PyYAML's safe_load reads it, with places."""
        if (path, "yaml") not in self._documents:
            self._documents[path, "yaml"] = read_yaml(self.text(path), self._place(path), as_pyyaml=True)
        return self._documents[path, "yaml"]


def _normal(path: str) -> str:
    return str(Path(path))


class Words(NamedTuple):
    """Words of the command, and the number of the first of them (from 1)."""

    items: tuple[str, ...]
    first: int = 1

    def source(self, index: int) -> Source:
        """The place of the word at this index."""
        return Source(COMMAND, None, self.first + index)

    def after(self, count: int) -> Words:
        """The words from this index on."""
        return Words(self.items[count:], self.first + count)


class Setup(NamedTuple):
    """What is known before a framework reads its part.

    given: the FILE arguments. environ: the NAME=value words, and what launchers export.
    words: the program with its arguments. launchers: names of those that were read, outermost first.
    trees, sources, facts: what the launchers said. assumed: the command was made from files alone, so
    numbers it does not show (ranks) are not known. whole, given_environ: the command as it was given.
    """

    files: Files
    given: tuple[str, ...] = ()
    environ: Mapping[str, str] = MappingProxyType({})
    words: Words = Words(())
    launchers: tuple[str, ...] = ()
    trees: Mapping[str, Any] = NOTHING
    sources: Mapping[str, Source] = NOTHING
    facts: Mapping[str, Any] = NOTHING
    versions: Mapping[str, str] = NOTHING
    assumed: bool = False
    whole: tuple[str, ...] = ()
    given_environ: Mapping[str, str] = MappingProxyType({})


class Reading(NamedTuple):
    """What a launcher or a framework read.

    trees: by name; sources: by dotted path, tree's name first; facts: derived ones (world_size, ...).
    program: set when this input goes another way than the framework's usual one.
    """

    trees: Mapping[str, Any]
    sources: Mapping[str, Source] = NOTHING
    facts: Mapping[str, Any] = NOTHING
    diagnostics: tuple[Diagnostic, ...] = ()
    program: Program | None = None


class Launched(NamedTuple):
    """What a launcher made of its words; `framework` when it can only be one."""

    reading: Reading
    program: Words
    environ: Mapping[str, str] = MappingProxyType({})
    framework: str = ""


class Launcher(NamedTuple):
    """A program that starts training processes. `matches` looks at the first words."""

    name: str
    matches: Callable[[Sequence[str]], bool]
    read: Callable[[Setup], Launched]


class Guess(NamedTuple):
    """The command that some files belong to."""

    words: tuple[str, ...]
    environ: Mapping[str, str] = MappingProxyType({})


class Reader(NamedTuple):
    """How a framework is read and what it then runs through.

    recognises: how sure it is that a set-up is its own: 0 no, 1 could be, 2 yes, 3 surely.
    command_of: the command that FILE arguments belong to, or None when they are not its own.
    parse: what its keys say in the spec's words; None when it is only resolved.
    program: the moments in order, of all layers. versions: the newest that were recorded together.
    """

    recognises: Callable[[Setup], int]
    command_of: Callable[[Setup], Guess | None]
    read: Callable[[Setup], Reading]
    program: Program
    layers: tuple[str, ...]
    versions: Mapping[str, str]
    parse: Callable[[Setup, Reading], Draft] | None = None


def unread(path: str) -> Unknown:
    """A value that cannot be read statically. `--fact PATH=VALUE` says it."""
    return Unknown(frozenset({path}))


def sources_of(document: Document, root: str, prefix: Path_ = ()) -> Mapping[str, Source]:
    """Places of a document's values by dotted path below `root`: `ds.zero_optimization.stage`."""
    return Places(lambda: dict(_below(document, root, prefix)))


def _below(document: Document, root: str, prefix: Path_) -> Iterator[tuple[str, Source]]:
    for path, source in document.values.items():
        if path[: len(prefix)] == prefix:
            inner = path[len(prefix) :]
            yield ".".join([root, *(str(part) for part in inner)]), source
