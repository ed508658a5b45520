"""The field table: where a spec value goes in a framework's own files, and how well it fits.

A plugin declares `Field` rows; `place` reads them to render, and parsing reads the same rows backwards.
Whatever no row claims is reported: there is no list of unsupported keys to forget.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, NamedTuple

from dsbridge.claims import Claim
from dsbridge.diagnostics import NOT_RENDERED, UNSUPPORTED, Code, Diagnostic, Severity
from dsbridge.spec.leaves import plain
from dsbridge.values import AUTO, UNSET, Unknown

LOSSY = Code("REN001", "lossy", Severity.WARNING, "The target says this only approximately.")
UNTRANSLATABLE = Code(
    "REN003", "no-such-value", Severity.ERROR, "The target has the key, but not this value."
)
CODES = (LOSSY, UNSUPPORTED, UNTRANSLATABLE)


class Fidelity(str, Enum):
    """How well a value survives the translation."""

    EXACT = "exact"
    LOSSY = "lossy"
    UNSUPPORTED = "unsupported"


class Codec(NamedTuple):
    """A translation of values as data. `words` maps the spec's value to the target's; None: as it is.

    `scale` multiplies a number; `joined` writes a list as one string with that separator.
    """

    words: Mapping[Any, Any] | None = None
    scale: float | None = None
    joined: str | None = None

    def knows(self, value: Any) -> bool:
        return self.words is None or value in self.words

    def render(self, value: Any) -> Any:
        """The target's value for a spec value."""
        if self.words is not None:
            return self.words[value]
        if self.scale is not None:
            return value * self.scale
        if self.joined is not None and isinstance(value, tuple):
            return self.joined.join(str(v) for v in value)
        return plain(value)

    def parse(self, value: Any) -> Any:
        """The spec's value for a target's value; UNSET if the spec cannot say it in this field."""
        if value is None:
            return UNSET
        if self.words is not None:
            found = [word for word, said in self.words.items() if same(said, value)]
            return found[0] if found else UNSET
        if self.scale is not None:
            number = isinstance(value, int | float) and not isinstance(value, bool)
            return value / self.scale if number else UNSET
        if self.joined is not None and isinstance(value, str):
            parts = [part.strip() for part in value.split(self.joined)]
            return parts if all(parts) and self.joined.join(parts) == value else UNSET
        return value


def same(one: Any, other: Any) -> bool:
    """Equal, and not merely because true is 1."""
    return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)


SAME = Codec()


class Field(NamedTuple):
    """One row: spec `path` <-> dotted `key` in `document` ("args", "ds", ... as the plugin names them).

    A LOSSY or UNSUPPORTED row gives its reason, which the user reads, and may give a hint.
    """

    path: str
    key: str = ""
    document: str = "args"
    codec: Codec = SAME
    fidelity: Fidelity = Fidelity.EXACT
    reason: str = ""
    hint: str = ""

    def flaw(self) -> str:
        """What is wrong with the row; "" for nothing. `place` asks it of every row it uses."""
        if self.fidelity is not Fidelity.EXACT and not self.reason:
            return f"{self.path}: {self.fidelity.value} without a reason"
        if self.fidelity is not Fidelity.UNSUPPORTED and not self.key:
            return f"{self.path}: no key to write it to"
        return ""


class Placed(NamedTuple):
    """Flat documents (dotted key -> value) by name, the spec paths dealt with, and what to tell."""

    documents: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
    claimed: frozenset[str] = frozenset()
    diagnostics: tuple[Diagnostic, ...] = ()

    def document(self, name: str) -> dict[str, Any]:
        return dict(self.documents.get(name, {}))


def place(fields: Iterable[Field], values: Mapping[str, Any]) -> Placed:
    """Write every set value that a row claims.

    AUTO leaves the choice to the framework: nothing is written, and its own default holds.
    """
    documents: dict[str, dict[str, Any]] = {}
    claimed: set[str] = set()
    found: list[Diagnostic] = []
    for row in fields:
        if row.path not in values:
            continue
        assert not row.flaw(), row.flaw()
        claimed.add(row.path)
        value = values[row.path]
        if value is AUTO:
            continue
        if row.fidelity is Fidelity.UNSUPPORTED:
            found.append(unsupported(row.path, value, row.reason, row.hint))
        elif not row.codec.knows(value):
            found.append(_no_such_value(row, value))
        else:
            documents.setdefault(row.document, {})[row.key] = row.codec.render(value)
            if row.fidelity is Fidelity.LOSSY:
                message = f"`{row.path}: {show(value)}` becomes `{row.key}`: {row.reason}"
                found.append(LOSSY(message, hint=row.hint, key=row.path))
    return Placed(documents, frozenset(claimed), tuple(found))


def claimed_by(rows: Iterable[Field], tree: Mapping[str, Any], name: str) -> Iterator[Claim]:
    """The field table backwards: each key of the tree that a row takes, if its value can be said exactly."""
    for row in rows:
        if row.fidelity is Fidelity.UNSUPPORTED or row.key not in tree:
            continue
        value = row.codec.parse(tree[row.key])
        if value is not UNSET and not isinstance(value, Unknown):
            yield Claim(row.path, value, ((name, row.key),), row.reason)


def unsupported(path: str, value: Any, reason: str, hint: str = "") -> Diagnostic:
    """Tell that a value has no place in the target."""
    return UNSUPPORTED(f"`{path}: {show(value)}`{NOT_RENDERED}{reason}", hint=hint, key=path)


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys to nested mappings, in the order given."""
    out: dict[str, Any] = {}
    for key, value in flat.items():
        *parents, last = key.split(".")
        node = out
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    return out


def show(value: Any) -> str:
    """A spec value as the user would write it in YAML."""
    shown = plain(value)
    if isinstance(shown, bool):
        return str(shown).lower()
    if isinstance(shown, list):
        return f"[{', '.join(show(v) for v in shown)}]"
    return str(shown)


def _no_such_value(row: Field, value: Any) -> Diagnostic:
    known = [show(word) for word in row.codec.words or ()]
    return UNTRANSLATABLE(
        f"`{row.path}: {show(value)}` cannot be said as `{row.key}`",
        hint=row.hint or f"This target takes {', '.join(known)}.",
        key=row.path,
    )
