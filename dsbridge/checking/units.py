"""From what a command line names to units: files that belong together, folders, and what stands in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dsbridge.diagnostics import InputError
from dsbridge.reading import Files
from dsbridge.rules import NOTHING
from dsbridge.subjects.dsfile import is_ds_config, read_plain
from dsbridge.subjects.unit import Unit


def units_of(
    files: Files,
    given: Sequence[str],
    command: Sequence[str] = (),
    *,
    target: str = "",
    facts: Mapping[str, Any] = NOTHING,
    versions: Mapping[str, str] = NOTHING,
) -> list[Unit]:
    """The units of files that belong together, or of one command."""
    base = Unit(files, (), (), target, facts, versions)
    if command:
        return [base._replace(command=tuple(command))]
    return list(_of_files(base, tuple(given)))


def _of_files(base: Unit, given: tuple[str, ...]) -> Iterator[Unit]:
    """Together if they are one input; a DeepSpeed config alone has no framework yet."""
    if len(given) == 1 and not base.target and _is_ds(base.files, given[0]):
        yield base._replace(given=given, lone=True)
        return
    yield base._replace(given=given)


def _is_ds(files: Files, name: str) -> bool:
    if not name.endswith((".json", ".hjson")):
        return False
    try:
        document = read_plain(files.text(name), name)
    except InputError:
        return False
    return document is not None and isinstance(document.value, dict) and is_ds_config(document.value)
