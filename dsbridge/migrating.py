"""The migrate pass: a framework's files, through the spec, to another's, with every key accounted for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any, NamedTuple

from dsbridge.artifacts import Artifacts
from dsbridge.building import built_by_framework, peak_to_rate, with_peak
from dsbridge.claims import Claim
from dsbridge.deepspeed.dialect import AUTO_LEFT_OUT
from dsbridge.diagnostics import NOT_RENDERED, UNSUPPORTED, Diagnostic, InputError, Severity
from dsbridge.explaining import Explanation, explain
from dsbridge.fields import show
from dsbridge.filling import left_out, numbers, reasons, with_hint
from dsbridge.formats.document import Document
from dsbridge.framework import Base, Framework
from dsbridge.parsing import CONFIG_GONE, Parsed, parse, source_of
from dsbridge.plugins import Registry, registry
from dsbridge.reading import COMMAND, Files
from dsbridge.rendering import framework_named, render
from dsbridge.sharding import CONVERTED, LEFT_OUT, converted
from dsbridge.spec.leaves import leaves
from dsbridge.spec.load import Loaded, load_document
from dsbridge.targets import written
from dsbridge.trees import copied, store
from dsbridge.values import AUTO

_NOTHING = "nothing is written"
EXACT, LOSSY, NO_PLACE, DROPPED = "exact", "lossy", "unsupported", "dropped"


# what those who stand on TrainingArguments do not all say by its arguments
_NOT_ARGUMENTS = ("finetuning.", "fsdp.")


class Move(NamedTuple):
    """What became of one key of the input. `target`: the keys that say it now."""

    source: str
    target: str
    status: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        """The shape the CLI contract fixes."""
        return {"from": self.source, "to": self.target or None, "status": self.status, "reason": self.reason}


class Migration(NamedTuple):
    """The files of the target, and what became of every key of the input."""

    parsed: Parsed
    artifacts: Artifacts
    mapping: tuple[Move, ...]
    diagnostics: tuple[Diagnostic, ...]

    @property
    def refused(self) -> bool:
        return self.artifacts.refused

    def to_json(self) -> dict[str, Any]:
        """As render, with the mapping."""
        shown = self.artifacts._replace(diagnostics=self.diagnostics).to_json()
        return {**shown, "mapping": [move.to_json() for move in self.mapping]}


def migrate(
    files: Files,
    given: Sequence[str] = (),
    command: Sequence[str] = (),
    *,
    target: str,
    source: str = "",
    sharding: str = "",
    base: Base | None = None,
    sets: Sequence[str] = (),
    facts: Mapping[str, Any] | None = None,
    versions: Mapping[str, str] | None = None,
    plugins: Registry | None = None,
) -> Migration:
    """Carry files or a command over to `target`. sharding: "zero" or "fsdp", else as it is.

    Raises:
        InputError: the input, the target or `base` cannot be used.
    """
    known = plugins or registry()
    framework_named(target, known)
    parsed = parse(files, given, command, source=source, facts=facts, versions=versions, plugins=known)
    gone = [finding for finding in parsed.diagnostics if finding.code == CONFIG_GONE.code]
    if gone and target != parsed.framework:
        # without it a sharded run would become a plain one
        raise InputError(finding._replace(severity=Severity.ERROR) for finding in gone)
    if target != parsed.framework:
        parsed = with_peak(parsed)
    document, changed = _document(parsed, target, sharding, known)
    loaded = load_document(document, sets)
    artifacts = render(loaded, target, base, plugins=known)

    def explained() -> Explanation:
        return explain(
            files, given, command, target=parsed.framework, facts=facts, versions=versions, plugins=known
        )

    title = parsed.input.framework.title
    filled = numbers(left_out(artifacts.diagnostics), explained) if target != parsed.framework else {}
    if filled:
        for path, value in filled.items():
            store(document.value, path, value)
        loaded = load_document(document, sets)
        artifacts = render(loaded, target, base, plugins=known)
    artifacts = artifacts._replace(diagnostics=with_hint(artifacts.diagnostics, title))
    told = (*parsed.diagnostics, *changed, *artifacts.diagnostics)
    why = reasons(filled, title)
    moves = tuple(_moves(parsed, loaded, artifacts, base, known, changed, why))
    return Migration(parsed, artifacts, moves, tuple(dict.fromkeys(told)))


def _document(
    parsed: Parsed, target: str, sharding: str, known: Registry
) -> tuple[Document, list[Diagnostic]]:
    """The spec as it is to be rendered: sharded in the way that the target has."""
    document = parsed.loaded.document
    root = copied(dict(document.value))
    if target != parsed.framework:
        stays = known.frameworks[target].fsdp and sharding != "zero"
        for path, value in _silent(parsed, known.frameworks[target], stays).items():
            store(root, path, value)
        peak_to_rate(root)
    root, found = converted(root, known.frameworks[target], sharding)
    if target != parsed.framework:
        frameworks = dict(root.get("frameworks", {}))
        shared = _shared(frameworks.pop(parsed.framework, {}), parsed, known.frameworks[target])
        if shared:
            frameworks[target] = shared
        root = {**root, "frameworks": frameworks}
    found += built_by_framework(root, known.frameworks[target])
    return document._replace(value=root), [finding.at(document.at(_path(finding.key))) for finding in found]


def _silent(parsed: Parsed, target: Framework, fsdp: bool) -> dict[str, Any]:
    """What the source does where it is told nothing, or "auto", unless the target has the same arguments.

    fsdp: FSDP stays FSDP.
    """
    source = parsed.input.framework
    alike = parsed.alike and source.arguments is not None and target.arguments is not None
    said = leaves(parsed.loaded.spec)
    return {
        path: value
        for path, value in parsed.silent.items()
        if said.get(path, AUTO) is AUTO
        and not (alike and not path.startswith(_NOT_ARGUMENTS))
        and (fsdp or not path.startswith("fsdp."))
    }


def _shared(own: Mapping[str, Any], parsed: Parsed, target: Framework) -> dict[str, Any]:
    """Keys of the source's own that the target takes too: both stand on TrainingArguments."""
    source = parsed.input.framework
    if source.arguments is None or target.arguments is None or target.reader is None or not parsed.alike:
        return {}
    theirs = source.arguments(parsed.input.setup.versions) & target.arguments(target.reader().versions)
    return {name: value for name, value in own.items() if name in theirs and value is not None}


def _path(key: str | None) -> tuple[str, ...]:
    return tuple(key.split(".")) if key else ()


def _moves(
    parsed: Parsed,
    loaded: Loaded,
    artifacts: Artifacts,
    base: Base | None,
    known: Registry,
    changed: Sequence[Diagnostic],
    why: Mapping[str, str],
) -> Iterator[Move]:
    """Every key of the input, in the input's order. why: of values that the source fills, by path."""
    whole = written(artifacts)
    title = known.frameworks[artifacts.target].title
    for path, claim in parsed.claims.items():
        source = ", ".join(_shown(parsed, key) for key in claim.keys)
        if source:
            said = _said(loaded, path, artifacts, whole, base, known)
            move = _move(source, path, claim, said, (*artifacts.diagnostics, *changed), title)
            if path in why and move.status == EXACT:
                move = move._replace(reason=why[path])
            stays = artifacts.refused and move.status == EXACT
            yield move._replace(status=DROPPED, reason=_NOTHING) if stays else move
    sharded = bool(loaded.document.value.get("fsdp"))
    for path, value in _silent(parsed, known.frameworks[artifacts.target], sharded).items():
        if artifacts.target != parsed.framework and not artifacts.refused:
            said = _said(loaded, path, artifacts, whole, base, known)
            source = f"({parsed.input.framework.title}'s default: {path} {show(value)})"
            yield _move(source, path, Claim(path, value), said, (*artifacts.diagnostics, *changed), title)
    for key in parsed.consumed:
        twice = "says nothing that another key does not say"
        yield Move(_shown(parsed, key), "", DROPPED if artifacts.refused else EXACT, twice)
    for key in parsed.kept:
        yield _kept(parsed, key, artifacts, whole, title)
    for entry in parsed.unclaimed:
        lost = next(
            (d.message for d in parsed.diagnostics if d.key == entry.key), "the spec has no room for it"
        )
        yield Move(entry.key, "", DROPPED, lost)


def _shown(parsed: Parsed, key: tuple[str, ...]) -> str:
    """A key as the user knows it: the file it is in, if there are several, and its name there."""
    at = source_of(parsed.input, key)
    name = ".".join(key[1:])
    several = len({source.file for source in parsed.input.reading.sources.values()}) > 1
    return f"{PurePath(at.file).name}: {name}" if at and several and at.file != COMMAND else name


class _Said(NamedTuple):
    """What says one field: keys of files, and findings such as lines for the user's script."""

    keys: tuple[str, ...] = ()
    findings: tuple[Diagnostic, ...] = ()


def _said(
    loaded: Loaded,
    path: str,
    artifacts: Artifacts,
    whole: Mapping[str, Any],
    base: Base | None,
    known: Registry,
) -> _Said:
    """What says this field: what is not the same when it is left out."""
    if artifacts.refused:
        return _Said()
    try:
        rest = load_document(loaded.document._replace(value=_without(loaded.document.value, path.split("."))))
        other = render(rest, artifacts.target, base, plugins=known)
    except InputError:
        return _Said()
    if other.refused:
        return _Said()
    less = written(other)
    keys = [key for key, value in whole.items() if key not in less or less[key] != value]
    # without it another kind of file may be written: then its own name says which key is meant
    named = [key for key in keys if re.split(r"[.: ]+", key)[-1] == path.rpartition(".")[2]]
    if named:
        return _Said(tuple(named))
    still = {(finding.message, finding.hint) for finding in other.diagnostics}
    gone = [d for d in artifacts.diagnostics if (d.message, d.hint) not in still]
    return _Said(tuple(keys), tuple(gone))


def _without(node: Any, path: Sequence[str]) -> Any:
    head, *rest = path
    if head not in node:
        return node
    if rest:
        inner = _without(node[head], rest)
        return {**node, head: inner} if inner else {k: v for k, v in node.items() if k != head}
    return {key: value for key, value in node.items() if key != head}


def _move(source: str, path: str, claim: Claim, said: _Said, found: Sequence[Diagnostic], title: str) -> Move:
    target = ", ".join(said.keys)
    about = [d for d in found if d.key == path or (d.key and path.startswith(f"{d.key}."))]
    for finding in (*about, *said.findings):
        if finding.code == UNSUPPORTED.code:
            return Move(source, "", NO_PLACE, finding.message.partition(NOT_RENDERED)[2])
        if finding.code == LEFT_OUT.code and finding.severity is Severity.INFO:
            return Move(source, "", NO_PLACE, finding.message)
        if finding.severity is Severity.ERROR:
            return Move(source, target, NO_PLACE, finding.message)
        if finding.severity is Severity.WARNING or finding.code in (CONVERTED.code, AUTO_LEFT_OUT.code):
            return Move(source, target, LOSSY, finding.message)
    if claim.reason:
        return Move(source, target, LOSSY, claim.reason)
    if not target:
        return Move(source, "", EXACT, f"{title} does this anyway, or has it from another key")
    return Move(source, target, EXACT, "")


def _kept(
    parsed: Parsed, key: tuple[str, ...], artifacts: Artifacts, whole: Mapping[str, Any], title: str
) -> Move:
    """A key that went through word for word, or is the source's alone."""
    name = ".".join(key[1:])
    target = next((k for k in whole if k == name or k.endswith(f": {name}")), "")
    if target:
        return Move(_shown(parsed, key), target, EXACT, "kept word for word")
    if artifacts.refused:
        return Move(_shown(parsed, key), "", DROPPED, _NOTHING)
    if artifacts.target == parsed.framework:
        return Move(_shown(parsed, key), "", EXACT, "stays in the file, which is still read")
    source = "DeepSpeed" if key[0] == "ds" else parsed.input.framework.title
    return Move(_shown(parsed, key), "", DROPPED, f"{source}'s own; {title} has no such key")
