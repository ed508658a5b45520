"""The parse pass: a framework's own files, or a launch command, to a spec.

A plugin says which keys mean what (`Draft`); here every leaf is accounted for, values are checked by the
spec's own kinds, and what the spec has no room for is kept under `deepspeed` or `frameworks.<name>`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from dsbridge.claims import Claim, Draft, Key, leaves_of
from dsbridge.diagnostics import Code, Diagnostic, InputError, Severity
from dsbridge.fields import same, show
from dsbridge.formats.document import Document, Path_
from dsbridge.inputs import Input, read_input
from dsbridge.plugins import Registry, registry
from dsbridge.provenance import Places, Source
from dsbridge.reading import COMMAND, Files
from dsbridge.rendering import framework_named
from dsbridge.spec.build import build_spec
from dsbridge.spec.consistency import contradictions
from dsbridge.spec.kinds import Mismatch
from dsbridge.spec.leaves import kind_of, plain
from dsbridge.spec.load import Loaded
from dsbridge.trees import copied, lookup
from dsbridge.values import UNSET, Unknown

NO_PARSER = Code("PA001", "not-parsed", Severity.ERROR, "The framework can be rendered, not parsed.")
KEPT = Code("PA002", "kept-verbatim", Severity.INFO, "The spec's own key does not take this value.")
UNCLAIMED = Code("PA003", "unclaimed", Severity.WARNING, "The spec has no room for a key.")
CONTRADICTION = Code("PA004", "contradiction", Severity.WARNING, "The files contradict themselves.")
NOT_READ = Code("PA005", "not-read", Severity.WARNING, "A value can only be known by running a program.")
TWICE = Code("PA006", "said-twice", Severity.WARNING, "Two keys say one thing differently.")
CONFIG_GONE = Code(
    "PA007", "config-not-read", Severity.WARNING, "A config of the sharding is named, but not read."
)
CODES = (CONFIG_GONE, NO_PARSER, KEPT, UNCLAIMED, CONTRADICTION, NOT_READ, TWICE)


# keys that name the file that sharding is in
NAMES_A_CONFIG = ("deepspeed", "deepspeed_config", "deepspeed_config_file", "config_file", "fsdp_config")


class Unclaimed(NamedTuple):
    """A key that the spec has no room for."""

    key: str
    at: Source | None

    def to_json(self) -> dict[str, Any]:
        """The shape the CLI contract fixes."""
        file, line = (self.at.file, self.at.line) if self.at else (None, None)
        return {"key": self.key, "file": file, "line": line}


class Parsed(NamedTuple):
    """A spec, and from which keys each of its fields was read.

    claims: those that hold, by spec path. kept: leaves kept verbatim. unclaimed: leaves that are lost.
    consumed: leaves that say nothing of their own.
    silent: what the framework does where the input says nothing. alike: as in Draft.
    """

    framework: str
    loaded: Loaded
    claims: Mapping[str, Claim]
    kept: tuple[Key, ...]
    unclaimed: tuple[Unclaimed, ...]
    diagnostics: tuple[Diagnostic, ...]
    input: Input
    silent: Mapping[str, Any]
    consumed: tuple[Key, ...]
    alike: bool = True


def parse(
    files: Files,
    given: Sequence[str] = (),
    command: Sequence[str] = (),
    *,
    source: str = "",
    facts: Mapping[str, Any] | None = None,
    versions: Mapping[str, str] | None = None,
    plugins: Registry | None = None,
) -> Parsed:
    """Read files or a command into a spec. source: the framework they belong to; else it is recognised.

    Raises:
        InputError: nothing recognises the input, or it cannot be read.
    """
    known = plugins or registry()
    if source:
        framework_named(source, known)  # a wrong name is said before anything is read
    return parse_input(read_input(known, files, given, command, source, facts, versions))


def parse_input(found: Input) -> Parsed:
    """An input that has been read, to a spec."""
    if found.reader.parse is None:
        message = f"{found.framework.title}'s files cannot be parsed into a spec"
        raise InputError([NO_PARSER(message, hint="Its plugin renders only.")])
    draft = found.reader.parse(found.setup, found.reading)
    if draft.trees:
        trees = {**found.reading.trees, **draft.trees}
        found = found._replace(reading=found.reading._replace(trees=trees))
    book = _Book(found, draft)
    for claim in draft.claims:
        book.claim(claim)
    book.unused_formats()
    book.leftovers()
    loaded = book.checked()
    book.tell()
    book.named_configs()
    return Parsed(
        found.framework.name,
        loaded,
        {path: claim._replace(keys=book.named(claim.keys)) for path, claim in book.claims.items()},
        book.named(book.kept),
        tuple(book.unclaimed),
        (*found.reading.diagnostics, *draft.diagnostics, *book.found),
        found,
        draft.silent,
        book.silent_keys(),
        draft.alike,
    )


class _Book:
    """The account of one input's keys."""

    def __init__(self, found: Input, draft: Draft) -> None:
        self.input, self.draft = found, draft
        self.claims: dict[str, Claim] = {}
        trees = found.reading.trees
        self.leaves = [
            (home, list(leaves_of(trees.get(name, {}), (name,)))) for name, home in draft.homes.items()
        ]
        self.kept: list[Key] = []
        self.lost: list[tuple[Key, Any]] = []
        self.unclaimed: list[Unclaimed] = []
        self.found: list[Diagnostic] = []

    def claim(self, claim: Claim) -> None:
        """Take a claim whose value the spec's kind takes, and that no other claim contradicts."""
        if _unknown(claim.value):
            return
        try:
            value = plain(kind_of(claim.path).read(claim.value))
        except Mismatch as mismatch:
            if claim.keys:
                name, at = _dotted(claim.keys[0]), self.at(claim.keys[0])
                why = f"`{claim.path}` takes {mismatch}"
                self.found.append(KEPT(f"`{name}: {show(claim.value)}` is kept: {why}", key=name, at=at))
            return
        before = self.claims.get(claim.path)
        if before is None:
            self.claims[claim.path] = claim._replace(value=value)
        elif same(before.value, value):
            self.claims[claim.path] = before._replace(keys=(*before.keys, *claim.keys))
        else:
            message = (
                f"`{claim.path}` is {show(before.value)} by `{_dotted(before.keys[0])}` and "
                f"{show(value)} by `{_dotted(claim.keys[0])}`; the first is taken"
            )
            self.found.append(TWICE(message, key=claim.path, at=self.at(claim.keys[0])))

    def unused_formats(self) -> None:
        """A block of the other number format lies in most configs, unused: it stays as it was written."""
        dtype = self.claims["precision.dtype"].value if "precision.dtype" in self.claims else None
        for name in ("fp16", "bf16"):
            if dtype not in (name, "auto"):
                for path in [path for path in self.claims if path.startswith(f"precision.{name}.")]:
                    del self.claims[path]

    def leftovers(self) -> None:
        """Every leaf that no claim took: kept where its tree belongs, or told."""
        taken = self.draft.consumed.union(*(claim.keys for claim in self.claims.values()))
        taken = taken.union(self.draft.stands_for.values())
        self.kept, self.lost = [], []
        for home, leaves in self.leaves:
            for key, value in leaves:
                if len(key) == 1 or key in taken or any(key[:n] in taken for n in range(2, len(key))):
                    continue
                if home and not _unknown(value) and key not in self.draft.lost:
                    self.kept.append(key)
                else:
                    self.lost.append((key, value))

    def tell(self) -> None:
        """What is lost, each with its place."""
        for key, value in self.lost:
            self.unclaimed.append(Unclaimed(_dotted(key[1:]), self.at(key)))
            self.found.append(self.why_lost(key, value))

    def named_configs(self) -> None:
        """A DeepSpeed config that was named and not read: what it says is missing from the spec."""
        if "ds" in self.input.reading.trees:
            return
        trees, before = self.input.reading.trees, len(self.found)
        for key, value in [*((key, _value(trees, key)) for key in self.kept), *self.lost]:
            if key[-1] in NAMES_A_CONFIG and isinstance(value, str) and value:
                self.found.append(self.not_read(f"`{_dotted(key[1:])}: {value}`", key))
        problem = lookup(trees, "dsfile.problem")
        if isinstance(problem, Mapping) and len(self.found) == before:
            said = f"{problem.get('type')}: {problem.get('message')}"
            self.found.append(self.not_read(f"the DeepSpeed config ({said})", ("flags", "deepspeed")))

    def not_read(self, what: str, key: Key) -> Diagnostic:
        """A config that is missing from the spec."""
        message = f"{what} cannot be read: what it says is missing from the spec"
        hint = "Give the command where the file is, or correct the path."
        return CONFIG_GONE(message, hint=hint, key=_dotted(key[1:]), at=self.at(key))

    def why_lost(self, key: Key, value: Any) -> Diagnostic:
        """Why a leaf is not in the spec."""
        name, at = _dotted(key[1:]), self.at(key)
        if _unknown(value):
            return NOT_READ(f"`{name}` can only be known by running the program", key=name, at=at,
                            hint=f"Say it with --fact {_dotted(key)}=VALUE.")  # fmt: skip
        why = self.draft.lost.get(key, "has no place in the spec")
        return UNCLAIMED(f"`{name}: {show(value)}` {why}", key=name, at=at)

    def checked(self) -> Loaded:
        """The spec. Claims that contradict each other stay in the framework's own words."""
        for _ in range(len(self.claims) + 1):
            document = self.document()
            spec = build_spec(document)
            problems = contradictions(spec)
            if not problems:
                return Loaded(spec, document)
            gone = [p for p in self.claims if any(_below(p, problem.key or "") for problem in problems)]
            if not gone:
                raise InputError([problem.at(document.at(_path(problem.key))) for problem in problems])
            self.found += [
                CONTRADICTION(d.message, hint=d.hint, key=d.key, at=document.at(_path(d.key)))
                for d in problems
            ]
            for path in gone:
                del self.claims[path]
            self.leftovers()
        raise AssertionError("every claim is gone, and the spec contradicts itself")

    def document(self) -> Document:
        """The spec as a mapping, each value with the place it was read from."""
        root: dict[str, Any] = {"version": 1}
        for path, claim in self.claims.items():
            _put(root, path.split("."), claim.value)
        own = self.input.framework.name
        for name, value in self.draft.implied.items():
            _put(root, ("frameworks", own, name), value)
        homes = {key: home for key in self.kept if (home := self.home(key))}
        for key, home in homes.items():
            _put(root, home, copied(_value(self.input.reading.trees, key)))
        claims = dict(self.claims)
        places = Places(lambda: dict(self.places(claims, homes)))
        return Document(root, next(iter(self.input.setup.given), COMMAND), places, places)

    def home(self, key: Key) -> Key:
        """Where a kept leaf stands in the spec; () for one in a file that the spec names."""
        home = self.draft.homes[key[0]]
        if home == "named":
            return ()
        return (("deepspeed",) if home == "deepspeed" else ("frameworks", self.input.framework.name)) + key[
            1:
        ]

    def places(self, claims: Mapping[str, Claim], homes: Mapping[Key, Key]) -> Iterator[tuple[Path_, Source]]:
        """Where each value of the spec was read."""
        for path, claim in claims.items():
            if place := next((at for key in claim.keys if (at := self.at(key))), None):
                yield _path(path), place
        for key, home in homes.items():
            if place := self.at(key):
                yield home, place

    def at(self, key: Key) -> Source | None:
        return source_of(self.input, self.draft.stands_for.get(key, key))

    def silent_keys(self) -> tuple[Key, ...]:
        """Leaves that say nothing of their own; a key behind two leaves may be claimed by the other."""
        trees = self.input.reading.trees
        claimed = set(self.named(key for claim in self.claims.values() for key in claim.keys))
        made = set(self.draft.stands_for.values())
        there = self.named(sorted(key for key in self.draft.consumed if _is_there(trees, key)))
        return tuple(key for key in there if not (key in made and key in claimed))

    def named(self, keys: Iterable[Key]) -> tuple[Key, ...]:
        """The user's own keys, each once: a leaf that a launcher adds has none."""
        own = (self.draft.stands_for.get(key, key) for key in keys)
        return tuple(dict.fromkeys(key for key in own if key))


def source_of(given: Input, key: Key) -> Source | None:
    """Where a key was written, or the block around it."""
    for length in range(len(key), 1, -1):
        if found := given.reading.sources.get(".".join(key[:length])):
            return found
    return None


def _put(root: dict[str, Any], path: Iterable[str], value: Any) -> None:
    *parents, last = path
    node = root
    for name in parents:
        node = node.setdefault(name, {})
    node[last] = value


def _value(trees: Mapping[str, Any], key: Key) -> Any:
    node: Any = trees
    for name in key:
        node = node[name] if name in node else next(node[k] for k in node if str(k) == name)
    return node


def _is_there(trees: Mapping[str, Any], key: Key) -> bool:
    return lookup(trees, ".".join(key)) is not UNSET


def _unknown(value: Any) -> bool:
    if isinstance(value, list | tuple) and not isinstance(value, Unknown):
        return any(map(_unknown, value))
    return value is UNSET or isinstance(value, Unknown)


def _below(path: str, block: str) -> bool:
    return path == block or path.startswith(f"{block}.") or block.startswith(f"{path}.")


def _path(key: str | None) -> Path_:
    return tuple(key.split(".")) if key else ()


def _dotted(key: Sequence[str]) -> str:
    return ".".join(key)


def to_json(parsed: Parsed) -> dict[str, Any]:
    """The shape that the CLI contract fixes."""
    return {
        "framework": parsed.framework,
        "spec": parsed.loaded.document.value,
        "unclaimed": [entry.to_json() for entry in parsed.unclaimed],
        "diagnostics": [finding.to_json() for finding in parsed.diagnostics],
    }
