"""Read a spec: a file, text or a mapping, with `--set` changes, checked as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dsbridge.diagnostics import Code, InputError, Severity
from dsbridge.formats.document import Document, Path_, read_text
from dsbridge.formats.yaml import read_yaml
from dsbridge.provenance import Source
from dsbridge.spec import ParallelSpec
from dsbridge.spec.build import build_spec
from dsbridge.spec.consistency import contradictions

BAD_SET = Code("SP004", "bad-set", Severity.ERROR, "`--set` takes key.path=value.")
CODES = (BAD_SET,)


class Loaded(NamedTuple):
    """A valid spec, and the document it was read from (for positions)."""

    spec: ParallelSpec
    document: Document


def load_file(path: Path | str, sets: Sequence[str] = ()) -> Loaded:
    """Read `dsbridge.yaml`.

    Raises:
        InputError: unreadable, no YAML, unknown keys, wrong values, contradictions: all of them.
    """
    return load_document(read_yaml(read_text(path), str(path)), sets)


def load_mapping(mapping: Mapping[str, Any], sets: Sequence[str] = ()) -> Loaded:
    """Check a spec that is already a mapping, as after `yaml.safe_load`."""
    return load_document(Document(dict(mapping), "<mapping>"), sets)


def load_document(document: Document, sets: Sequence[str] = ()) -> Loaded:
    """Apply `sets`, build the spec, and check it as a whole."""
    for text in sets:
        document = _apply_set(document, text)
    spec = build_spec(document)
    found = contradictions(spec)
    if found:
        raise InputError(d.at(_place(document, d.key)) for d in found)
    return Loaded(spec, document)


def _place(document: Document, key: str | None) -> Source:
    path: Path_ = tuple(key.split(".")) if key else ()
    return document.at(path)


def _apply_set(document: Document, text: str) -> Document:
    source = f"--set {text}"
    key, equals, value = text.partition("=")
    path: Path_ = tuple(key.strip().split("."))
    if not equals or not all(path):
        message = f"`{text}` has no key" if equals else f"`{text}` has no ="
        hint = "Write as in `--set zero.stage=3`."
        raise InputError([BAD_SET(message, hint=hint, at=Source(source))])
    parsed = read_yaml(value, source)
    at = Source(source)
    root = _with(document.value, path, parsed.value, at)
    places: dict[Path_, Source] = {
        path[:n]: at for n in range(1, len(path) + 1) if path[:n] not in document.values
    }
    return document._replace(
        value=root,
        keys={**document.keys, **places, path: at},
        values={**document.values, **places, path: at},
    )


def _with(node: Any, path: Path_, value: Any, at: Source) -> Any:
    """A copy of `node` in which `path` holds `value`."""
    if not path:
        return value
    if node is None:
        node = {}
    if not isinstance(node, dict):
        message = f"`{path[0]}` cannot be set inside {type(node).__name__} {node!r}"
        raise InputError([BAD_SET(message, hint="Its parent is not a mapping.", at=at)])
    return {**node, path[0]: _with(node.get(path[0]), path[1:], value, at)}
