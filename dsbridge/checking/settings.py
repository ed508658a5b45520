"""`.dsbridge.toml`, or `[tool.dsbridge]` of a pyproject.toml: what a project wants checked, and how.

The nearest one upwards from a checked file holds for that file.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from dsbridge.diagnostics import Code, Diagnostic, InputError, Severity
from dsbridge.formats.document import read_text
from dsbridge.provenance import Source
from dsbridge.rules import NOTHING

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

BAD_SETTINGS = Code("IN040", "bad-settings", Severity.ERROR, "The project's settings cannot be used.")
CODES = (BAD_SETTINGS,)
NAMES = (".dsbridge.toml", "pyproject.toml")
KEYS = ("select", "ignore", "per-file-ignores", "exclude", "severity", "versions", "facts", "target")


class Settings(NamedTuple):
    """What a settings file says. file: its path, "" for none; folder: the one that its globs start from.

    select, ignore: codes or their beginnings (`CK1`). per_file: codes by glob, or by `glob:key.path`.
    exclude: globs of files and folders that are left out of a folder. severity: by code.
    """

    file: str = ""
    folder: Path = Path()
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    per_file: Mapping[str, tuple[str, ...]] = NOTHING
    exclude: tuple[str, ...] = ()
    severity: Mapping[str, Severity] = NOTHING
    versions: Mapping[str, str] = NOTHING
    facts: Mapping[str, Any] = NOTHING
    target: str = ""

    def codes(self) -> Iterable[str]:
        """Every code that it names."""
        yield from (*self.select, *self.ignore, *self.severity)
        yield from (code for codes in self.per_file.values() for code in codes)

    def excludes(self, name: str) -> bool:
        """Whether a file, or a folder around it, is left out."""
        path = self._inside(name)
        around = [path, *list(Path(path).parents)[:-1]]
        return any(_matches(str(each), glob) for each in around for glob in self.exclude)

    def silences(self, finding: Diagnostic) -> bool:
        """Whether the finding is not wanted here."""
        chosen = max((len(c) for c in self.select if finding.code.startswith(c)), default=0)
        left = max((len(c) for c in self.ignore if finding.code.startswith(c)), default=0)
        if left and left >= chosen:
            return True
        # what cannot be read is told whatever is selected
        if self.select and not chosen and not finding.code.startswith("IN"):
            return True
        return any(
            finding.code.startswith(code)
            for glob, codes in self.per_file.items()
            if finding.file and self._is_at(finding, glob)
            for code in codes
        )

    def weighed(self, finding: Diagnostic) -> Diagnostic:
        """The finding with the severity that the project gives its code."""
        names = [code for code in self.severity if finding.code.startswith(code)]
        return finding._replace(severity=self.severity[max(names, key=len)]) if names else finding

    def _is_at(self, finding: Diagnostic, glob: str) -> bool:
        path = self._inside(finding.file or "")
        pattern, colon, key = glob.partition(":")
        return _matches(path, pattern) and (not colon or fnmatch(finding.key or "", key))

    def _inside(self, name: str) -> str:
        """A path from the settings' folder, where it is below it."""
        path = Path(name).absolute()
        return path.relative_to(self.folder).as_posix() if path.is_relative_to(self.folder) else name


def _matches(path: str, glob: str) -> bool:
    glob = glob.removeprefix("./").removesuffix("/")
    return fnmatch(path, glob) or ("/" not in glob and fnmatch(Path(path).name, glob))


def settings_for(name: str = "") -> Settings:
    """The settings nearest to a file; without a name, to the folder the command runs in.

    Raises:
        InputError: a settings file that cannot be used.
    """
    here = Path(name).absolute() if name else Path.cwd()
    return _nearest(here if not name or here.is_dir() else here.parent)


@cache
def _nearest(folder: Path) -> Settings:
    for name in NAMES:
        file = folder / name
        if file.is_file() and (found := read_settings(file)) is not None:
            return found
    return _nearest(folder.parent) if folder != folder.parent else Settings()


def forget() -> None:
    """Look for settings files anew."""
    _nearest.cache_clear()


def read_settings(file: Path) -> Settings | None:
    """The settings of a file; None for a pyproject.toml without any.

    Raises:
        InputError: no TOML, an unknown key, or a value of the wrong type.
    """
    shown = _shown(file)
    try:
        table = tomllib.loads(read_text(file))
    except tomllib.TOMLDecodeError as error:
        raise InputError([BAD_SETTINGS(f"not TOML: {error}", at=Source(shown))]) from None
    if file.name == "pyproject.toml":
        tool = table.get("tool")
        table = tool.get("dsbridge") if isinstance(tool, dict) else None
        if table is None:
            return None
    flaws = list(_flaws(table)) if isinstance(table, dict) else [("[tool.dsbridge] is no table", "")]
    if flaws:
        raise InputError([BAD_SETTINGS(what, hint=hint, at=Source(shown)) for what, hint in flaws])
    return Settings(
        file=shown,
        folder=file.parent,
        select=_codes(table.get("select", ())),
        ignore=_codes(table.get("ignore", ())),
        per_file={glob: _codes(codes) for glob, codes in table.get("per-file-ignores", {}).items()},
        exclude=tuple(table.get("exclude", ())),
        severity={code.upper(): Severity(word) for code, word in table.get("severity", {}).items()},
        versions=table.get("versions", {}),
        facts=table.get("facts", {}),
        target=table.get("target", ""),
    )


def _codes(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(word.strip().upper() for word in words if word.strip())


def _shown(file: Path) -> str:
    """Its path as a person in this folder writes it."""
    return file.relative_to(Path.cwd()).as_posix() if file.is_relative_to(Path.cwd()) else str(file)


def _words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


_SEVERITIES = tuple(severity.value for severity in Severity)
_TAKES: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("select", "ignore"), (_words, 'a list of codes, as ["EX005", "CK1"]')),
    "exclude": (_words, 'a list of globs, as ["third_party/*"]'),
    "per-file-ignores": (
        lambda value: isinstance(value, dict) and all(map(_words, value.values())),
        'a table of lists of codes, as {"old/*.json" = ["CK101"]}',
    ),
    "severity": (
        lambda value: isinstance(value, dict) and all(v in _SEVERITIES for v in value.values()),
        'a table of error, warning or info, as {CK101 = "warning"}',
    ),
    "versions": (
        lambda value: isinstance(value, dict) and all(isinstance(v, str) for v in value.values()),
        'a table of texts, as {deepspeed = "0.18.4"}',
    ),
    "facts": (lambda value: isinstance(value, dict), "a table, as {world_size = 8}"),
    "target": (lambda value: isinstance(value, str), "the name of a framework"),
}


def _flaws(table: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for key, value in table.items():
        if key not in _TAKES:
            close = difflib.get_close_matches(key, KEYS, n=1)
            yield (
                f"unknown key `{key}`",
                f"Did you mean `{close[0]}`?" if close else f"There are {', '.join(KEYS)}.",
            )
        elif not _TAKES[key][0](value):
            yield f"`{key}` takes {_TAKES[key][1]}", ""


def unknown_codes(words: Iterable[str], known: Iterable[str], where: str) -> list[Diagnostic]:
    """One error for each word that no code begins with."""
    every = sorted(known)
    found = []
    for word in dict.fromkeys(words):
        if not any(code.startswith(word) for code in every):
            close = difflib.get_close_matches(word, every, n=3)
            hint = f"Did you mean {', '.join(close)}?" if close else "docs/reference/codes.md lists them."
            found.append(
                BAD_SETTINGS(f"no check or diagnostic has the code `{word}`", hint=hint, at=Source(where))
            )
    return found
