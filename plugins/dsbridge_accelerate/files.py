"""The YAML as text: written anew, or edited in the user's own file."""

from __future__ import annotations

from collections.abc import Mapping
from io import StringIO
from typing import Any

import yaml

from dsbridge.sdk import Base, Diagnostic, InputError, Source, show
from dsbridge_accelerate.codes import BASE_BAD, BASE_CHANGED, BASE_REMOVED
from dsbridge_accelerate.fields import USUAL
from dsbridge_accelerate.section import Section, put

_WRITTEN_BY = "# Written by dsbridge "
_FRESH = "_dsbridge_added"  # on a mapping that has its comment already


def new_yaml(section: Section, header: str) -> str:
    """Keys in the order in which `accelerate config` writes them: by name."""
    nested: dict[str, Any] = {}
    usual = {**USUAL, **({"machine_rank": 0} if section.said["num_machines"] == 1 else {}), **section.usual}
    for key, value in {**usual, **section.said}.items():
        put(nested, key, value)
    ordered = {key: nested[key] for key in sorted(nested)}
    text = yaml.safe_dump(ordered, sort_keys=False, allow_unicode=True, width=4096)
    return f"# {header}\n{text}"


def read_base(base: Base) -> dict[str, Any]:
    """The base as Accelerate reads it.

    Raises:
        InputError: no YAML, no mapping, or a file for SageMaker.
    """
    try:
        data = yaml.safe_load(base.text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = Source(base.name, mark.line + 1, mark.column + 1) if mark else Source(base.name)
        raise InputError([BASE_BAD(f"not valid YAML: {error.problem}", at=at)]) from None
    except yaml.YAMLError as error:
        raise InputError([BASE_BAD(f"not valid YAML: {error}", at=Source(base.name, 1))]) from None
    hint = "An Accelerate YAML is what `accelerate config` writes."
    if not isinstance(data, dict):
        at = Source(base.name, 1)
        raise InputError([BASE_BAD("the file holds no mapping", hint=hint, at=at)])
    for key, value in data.items():
        if str(key).endswith("_config") and not isinstance(value, dict | None):
            at = Source(base.name, _line_of(base.text, str(key)))
            raise InputError([BASE_BAD(f"`{key}` must be a mapping", hint=hint, at=at)])
    if data.get("compute_environment", "LOCAL_MACHINE") != "LOCAL_MACHINE":
        at = Source(base.name, _line_of(base.text, "compute_environment"))
        message = f"`compute_environment: {data['compute_environment']}` is not rendered for"
        raise InputError([BASE_BAD(message, hint="Use a base for LOCAL_MACHINE.", at=at)])
    return data


def _line_of(text: str, key: str) -> int:
    lines = enumerate(text.splitlines(), start=1)
    return next((n for n, line in lines if line.startswith((f"{key}:", f"{key} :"))), 1)


def edit_yaml(base: Base, section: Section, header: str) -> str:
    """The base with the spec's keys in place; what changes is told in `section.found`.

    Raises:
        InputError: ruamel.yaml is missing, or finds a mistake that Accelerate's reader lets pass.
    """
    editor = _editor()
    data = _load(editor, base)
    for key, reason in section.removed.items():
        if line := _remove(data, key):
            at = Source(base.name, line)
            section.found.append(BASE_REMOVED(f"`{key}` is removed: {reason}", at=at))
    for key, value in section.said.items():
        _set(editor, data, key, value, base, section.found)
    for key, value in section.usual.items():
        if not _has(data, key):
            _set(editor, data, key, value, base, section.found)
    out = StringIO()
    editor.dump(data, out)
    kept = out.getvalue()
    if kept.startswith(_WRITTEN_BY):  # rendered before
        kept = kept.partition("\n")[2]
    return f"# {header}\n{kept}"


def _editor() -> Any:
    try:
        from ruamel.yaml import YAML
    except ImportError:
        message = "--base needs ruamel.yaml"
        raise InputError([BASE_BAD(message, hint='pip install "dsbridge[edit]"')]) from None
    editor = YAML()
    editor.preserve_quotes = True
    editor.width = 4096
    return editor


def _load(editor: Any, base: Base) -> Any:
    from ruamel.yaml.error import MarkedYAMLError

    try:
        return editor.load(base.text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        problem = str(error.problem or error).splitlines()[0]
        raise InputError([BASE_BAD(problem, at=Source(base.name, line))]) from None


def _has(data: Any, key: str) -> bool:
    head, _, rest = key.partition(".")
    if not isinstance(data, Mapping) or head not in data:
        return False
    return _has(data[head], rest) if rest else True


def _remove(data: Any, key: str) -> int:
    """Take a key out; the line where it stood, 0 if it is not there."""
    head, _, rest = key.partition(".")
    if not isinstance(data, Mapping) or head not in data:
        return 0
    if rest:
        return _remove(data[head], rest)
    line = _line(data, head)
    del data[head]  # type: ignore[attr-defined]
    return line


def _line(data: Any, key: str) -> int:
    return int(data.lc.key(key)[0]) + 1


def _set(editor: Any, data: Any, key: str, value: Any, base: Base, found: list[Diagnostic]) -> None:
    """One key in place; a new one at the end, the first of them under a comment."""
    *parents, last = key.split(".")
    for parent in parents:
        if data.get(parent) is None:
            _append(data, parent, type(data)())
            setattr(data[parent], _FRESH, True)  # the comment above it says it for all
        data = data[parent]
    if last not in data:
        _append(data, last, _scalar(editor, value))
        return
    old = _as_accelerate_reads(editor, data[last])
    if old != value or type(old) is not type(value):
        data[last] = _scalar(editor, value)
        at = Source(base.name, _line(data, last))
        found.append(BASE_CHANGED(f"`{key}`: {show(old)} -> {show(value)}", at=at))


def _append(data: Any, key: str, value: Any) -> None:
    data[key] = value
    if not getattr(data, _FRESH, False):
        indent = data.lc.col or 0
        data.yaml_set_comment_before_after_key(key, before="added by dsbridge", indent=indent)
        setattr(data, _FRESH, True)


def _scalar(editor: Any, value: Any) -> Any:
    """A value that ruamel.yaml (1.2) writes so that PyYAML (1.1) reads it back: 'no', 1.0e-05."""
    return editor.load(yaml.safe_dump({"value": value}, width=4096))["value"]


def _as_accelerate_reads(editor: Any, node: Any) -> Any:
    out = StringIO()
    editor.dump({"value": node}, out)
    return yaml.safe_load(out.getvalue())["value"]
