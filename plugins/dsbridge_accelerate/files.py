"""The YAML as text: written anew, or edited in the user's own file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from dsbridge.sdk import Base, Diagnostic, InputError, YamlEdit, show
from dsbridge_accelerate.codes import BASE_BAD, BASE_CHANGED, BASE_REMOVED
from dsbridge_accelerate.fields import USUAL
from dsbridge_accelerate.section import Section, put


def new_yaml(section: Section, header: str) -> str:
    """Keys in the order in which `accelerate config` writes them: by name."""
    nested: dict[str, Any] = {}
    usual = {**USUAL, **({"machine_rank": 0} if section.said["num_machines"] == 1 else {}), **section.usual}
    for key, value in {**usual, **section.said}.items():
        put(nested, key, value)
    ordered = {key: nested[key] for key in sorted(nested)}
    text = yaml.safe_dump(ordered, sort_keys=False, allow_unicode=True, width=4096)
    return f"# {header}\n{text}"


def read_base(base: Base) -> tuple[YamlEdit, dict[str, Any]]:
    """The base to be edited, and its values as Accelerate reads them.

    Raises:
        InputError: no YAML, no mapping, or a file for SageMaker.
    """
    edit = YamlEdit(base.name, base.text)
    data = edit.as_pyyaml()
    for key, value in data.items():
        if str(key).endswith("_config") and not isinstance(value, dict | None):
            hint = "An Accelerate YAML is what `accelerate config` writes."
            raise InputError([BASE_BAD(f"`{key}` must be a mapping", hint=hint, at=edit.at((key,)))])
    if data.get("compute_environment", "LOCAL_MACHINE") != "LOCAL_MACHINE":
        message = f"`compute_environment: {data['compute_environment']}` is not rendered for"
        hint = "Use a base for LOCAL_MACHINE."
        raise InputError([BASE_BAD(message, hint=hint, at=edit.at(("compute_environment",)))])
    return edit, data


def edit_yaml(edit: YamlEdit, data: Mapping[str, Any], section: Section, header: str) -> str:
    """The base with the spec's keys in place; what changes is told in `section.found`.

    Raises:
        InputError: a key that must go cannot be taken out.
    """
    for key, reason in section.removed.items():
        path = tuple(key.split("."))
        if edit.has(path):
            section.found.append(BASE_REMOVED(f"`{key}` is removed: {reason}", at=edit.at(path)))
            edit.remove(path)
    for key, value in section.said.items():
        _set(edit, data, key, value, section.found)
    for key, value in section.usual.items():
        if not edit.has(tuple(key.split("."))):
            _set(edit, data, key, value, section.found)
    return edit.text(header)


def _set(edit: YamlEdit, data: Mapping[str, Any], key: str, value: Any, found: list[Diagnostic]) -> None:
    path = tuple(key.split("."))
    if edit.has(path):
        old: Any = data
        for name in path:
            old = old[name]
        if old == value and type(old) is type(value):
            return
        found.append(BASE_CHANGED(f"`{key}`: {show(old)} -> {show(value)}", at=edit.at(path)))
    edit.set(path, value)
