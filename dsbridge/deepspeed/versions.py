"""Which keys a DeepSpeed version knows: an unknown one stops it in some blocks, and is lost in others.

The tables are harvested from the real packages (tools/harvest.py, tools/merge_versions.py).
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from dsbridge.deepspeed.dialect import IGNORED, VERSION, Dialect
from dsbridge.diagnostics import Diagnostic


@cache
def _read(name: str) -> dict[str, Any]:
    versions = json.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))["versions"]
    assert isinstance(versions, dict)
    return versions


def version_findings(
    written: Iterable[str], native: Mapping[str, Any], dialect: Dialect, paths: Mapping[str, str]
) -> Iterator[Diagnostic]:
    """Keys that the target's DeepSpeed refuses or ignores.

    written: the dotted keys that the spec's own fields became; `paths` gives the field of each.
    native: the user's own keys, under `deepspeed:`.
    """
    keys = list(written)
    for version in dialect.versions:
        known = _read("key_versions.json")[version]
        for key in keys:
            if key in known["refused"]:
                yield VERSION(
                    f"`{paths.get(key, key)}` becomes `{key}`, which DeepSpeed {version} refuses",
                    hint=f"{dialect.title} runs with DeepSpeed {version}: remove the setting.",
                    key=paths.get(key),
                )
            elif key in known["ignored"]:
                yield IGNORED(
                    f"`{paths.get(key, key)}` becomes `{key}`, which DeepSpeed {version} does not read",
                    hint=f"{dialect.title} runs with DeepSpeed {version}: the setting has no effect there.",
                    key=paths.get(key),
                )
        yield from _native(native, version, dialect)


def optimizer_missing(name: str, dialect: Dialect) -> str | None:
    """A version of the dialect whose DeepSpeed does not build this optimizer."""
    table = _read("key_versions.json")
    return next((v for v in dialect.versions if name in table[v]["no_optimizer"]), None)


def _native(native: Mapping[str, Any], version: str, dialect: Dialect) -> Iterator[Diagnostic]:
    if not native:
        return
    flat = _flat(native)
    for block, names in _read("strict_keys.json")[version].items():
        given = {key.removeprefix(f"{block}.").split(".")[0] for key in flat if key.startswith(f"{block}.")}
        for name in sorted(given - set(names)):
            close = difflib.get_close_matches(name, names, n=1)
            yield VERSION(
                f"`{block}` of DeepSpeed {version} has no key `{name}`; an unknown one stops it",
                hint=f"Did you mean `{close[0]}`?" if close else f"{dialect.title} runs with that version.",
                key=f"deepspeed.{block}.{name}",
            )


def _flat(native: Mapping[str, Any], prefix: str = "") -> list[str]:
    keys = []
    for key, value in native.items():
        keys.append(f"{prefix}{key}")
        if isinstance(value, Mapping):
            keys += _flat(value, f"{prefix}{key}.")
    return keys
