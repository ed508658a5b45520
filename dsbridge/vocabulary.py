"""The names that a framework's own files and commands may say, by version, and what becomes of others.

The tables behind it are harvested from the real packages (`tools/`), each row with the versions it holds
in. A plugin gives a `Vocabulary` for a surface, which is one place where names are written: a YAML, a
command's flags, a constructor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from dsbridge.provenance import Source
from dsbridge.rules import numbers

Row: TypeAlias = Mapping[str, Any]  # {"value": ..., "since": ..., "until": ...} of a harvested table
REFUSED, IGNORED = "refused", "ignored"


class Argument(NamedTuple):
    """A name that some version of the framework takes.

    block: the mapping it stands in, such as "deepspeed_config"; "" at the top. owner: the class or file
    that declares it. kind: bool, int, float, text, choice, dict, list, any. since, until: the versions of
    `package` that have it, until excluded; "" for no bound among those that were harvested. deprecated:
    what the package itself says of it, also once it is gone. instead: the name that it points to, if this
    version has that.
    """

    name: str
    block: str = ""
    kind: str = "any"
    default: Any = None
    required: bool = False
    choices: tuple[Any, ...] = ()
    aliases: tuple[str, ...] = ()
    package: str = ""
    since: str = ""
    until: str = ""
    owner: str = ""
    deprecated: str = ""
    instead: str = ""


Name: TypeAlias = tuple[str, str]  # block, name


class Vocabulary(NamedTuple):
    """The names of one surface in one version.

    arguments: those that it takes. others: those that only other versions take; `until` says which dropped
    it, `since` which brings it. unknown: for each block what happens to a name that is not taken, "refused"
    or "ignored", as the real package did when it was run. meant: names that people bring from other tools,
    each with the argument that does it here. under: names that are taken in a mode that is off unless a
    variable of the environment says otherwise, each with what switches it on.
    """

    arguments: Mapping[Name, Argument]
    others: Mapping[Name, Argument] = MappingProxyType({})
    unknown: Mapping[str, str] = MappingProxyType({})
    meant: Mapping[str, str] = MappingProxyType({})
    under: Mapping[str, str] = MappingProxyType({})

    def find(self, name: str, block: str = "") -> Argument | None:
        """The argument of that name or alias, if this version takes it."""
        found = self.arguments.get((block, name))
        return found or next(
            (row for row in self.arguments.values() if row.block == block and name in row.aliases), None
        )

    def other(self, name: str, block: str = "") -> Argument | None:
        """The same among those that only other versions take."""
        found = self.others.get((block, name))
        return found or next(
            (row for row in self.others.values() if row.block == block and name in row.aliases), None
        )

    def blocks_of(self, name: str) -> list[str]:
        """Where a name that is not taken here is taken."""
        return sorted({block for block, own in self.arguments if own == name})


def vocabulary(rows: Iterable[tuple[bool, Argument]], unknown: Mapping[str, str]) -> Vocabulary:
    """Rows, each with whether this version takes it; `instead` is followed to a name that it takes."""
    here: dict[Name, Argument] = {}
    others: dict[Name, Argument] = {}
    for have, row in rows:
        (here if have else others)[row.block, row.name] = row
    for names in (here, others):
        names |= {key: row._replace(instead=_settled(row, here, others)) for key, row in names.items()}
    return Vocabulary(here, others, unknown)


def _settled(row: Argument, here: Mapping[Name, Argument], others: Mapping[Name, Argument]) -> str:
    seen = {row.name}
    while row.instead and (row.block, row.instead) not in here:
        following = others.get((row.block, row.instead))
        if following is None or following.name in seen:
            return ""
        seen.add(following.name)
        row = following
    return row.instead


class Life(NamedTuple):
    """A table's rows of one name, seen from a version: what holds there or nearest, and the name's bounds."""

    here: bool
    value: Any
    since: str
    until: str


def life(rows: Iterable[Row], version: str) -> Life:
    """Rows that touch are one life; of several, the one that holds, else the last ended, else the next."""
    have, lives = numbers(version), _lives(rows)
    best: list[Row] = lives[0]
    for spans in lives:
        if not spans[0]["since"] or numbers(spans[0]["since"]) <= have:
            best = spans
    first, last = best[0]["since"], best[-1]["until"]
    here = (not first or numbers(first) <= have) and (not last or have < numbers(last))
    near = [row for row in best if not row["since"] or numbers(row["since"]) <= have] or best[:1]
    return Life(here, near[-1]["value"], first, last)


def _lives(rows: Iterable[Row]) -> list[list[Row]]:
    found: list[list[Row]] = []
    for row in rows:
        if found and row["since"] and found[-1][-1]["until"] == row["since"]:
            found[-1].append(row)
        else:
            found.append([row])
    return found


class Written(NamedTuple):
    """A name as a user wrote it: the surface and block it stands in, its place, and its path in a file that
    can be edited ("" and () for a flag or a script)."""

    surface: str
    name: str
    block: str = ""
    at: Source | None = None
    file: str = ""
    path: tuple[str, ...] = ()


def flags_of(
    words: Sequence[str], at: Callable[[int], Source | None], surface: str = "flags"
) -> list[Written]:
    """The words of a command that are options: `--name`, `--name=value`; as they are written."""
    return [
        Written(surface, word.partition("=")[0], at=at(index))
        for index, word in enumerate(words)
        if word.startswith("--") and len(word) > 2
    ]


def keys_of(
    tree: Mapping[str, Any],
    sources: Mapping[str, Source],
    root: str,
    surface: str,
    blocks: Iterable[str] = (),
) -> list[Written]:
    """The keys of a file's tree whose places have `root` in front, and those of its blocks."""
    found = []
    for name, value in tree.items():
        at = sources.get(f"{root}.{name}")
        file = at.file if at and at.file.endswith((".yaml", ".yml", ".json")) else ""
        found.append(Written(surface, name, "", at, file, (name,)))
        if name in blocks and isinstance(value, Mapping):
            inner = ((key, sources.get(f"{root}.{name}.{key}")) for key in value)
            found += [Written(surface, key, name, where, file, (name, key)) for key, where in inner]
    return found
