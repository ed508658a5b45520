"""Which keys a DeepSpeed version knows: an unknown one stops it in some blocks, and is lost in others."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from dsbridge.deepspeed.blocks import Blocks
from dsbridge.deepspeed.dialect import IGNORED, VERSION, Dialect
from dsbridge.deepspeed.known import known_keys
from dsbridge.diagnostics import Diagnostic


def fate(key: str, version: str) -> Literal["refused", "ignored"] | None:
    """What becomes of a dotted key that the version does not read; None for one that it does."""
    blocks = known_keys(version)
    block, _, name = key.rpartition(".")
    while block not in blocks:  # the nearest block that the version has decides
        block, _, name = block.rpartition(".")
    found = blocks[block]
    if name in found.removed:
        return "refused"
    return None if name in found.keys or found.unknown == "kept" else found.unknown


def version_findings(
    written: Iterable[str], native: Mapping[str, Any], dialect: Dialect, paths: Mapping[str, str]
) -> Iterator[Diagnostic]:
    """Keys that the target's DeepSpeed refuses or ignores.

    written: the dotted keys that the spec's own fields became; `paths` gives the field of each.
    native: the user's own keys, under `deepspeed:`.
    """
    keys = list(written)
    for version in dialect.versions:
        for key in keys:
            becomes = fate(key, version)
            if becomes == "refused":
                yield VERSION(
                    f"`{paths.get(key, key)}` becomes `{key}`, which DeepSpeed {version} refuses",
                    hint=f"{dialect.title} runs with DeepSpeed {version}: remove the setting.",
                    key=paths.get(key),
                )
            elif becomes == "ignored":
                yield IGNORED(
                    f"`{paths.get(key, key)}` becomes `{key}`, which DeepSpeed {version} does not read",
                    hint=f"{dialect.title} runs with DeepSpeed {version}: the setting has no effect there.",
                    key=paths.get(key),
                )
        yield from _native(native, version, dialect)


def optimizer_missing(name: str, dialect: Dialect) -> str | None:
    """A version of the dialect whose DeepSpeed does not build this optimizer."""
    return next((version for version in dialect.versions if _lacks(version, name)), None)


def _lacks(version: str, name: str) -> bool:
    blocks = Blocks(version)
    # torch's own SGD needs no name in DeepSpeed's list
    return name != "sgd" and name not in {row["name"] for row in blocks.rows(blocks.known["optimizers"])}


def _native(native: Mapping[str, Any], version: str, dialect: Dialect) -> Iterator[Diagnostic]:
    if not native:
        return
    flat = _flat(native)
    for path, block in known_keys(version).items():
        if block.unknown != "refused":
            continue
        given = {key.removeprefix(f"{path}.").split(".")[0] for key in flat if key.startswith(f"{path}.")}
        for name in sorted(given - set(block.keys)):
            close = difflib.get_close_matches(name, block.keys, n=1)
            yield VERSION(
                f"`{path}` of DeepSpeed {version} has no key `{name}`; an unknown one stops it",
                hint=f"Did you mean `{close[0]}`?" if close else f"{dialect.title} runs with that version.",
                key=f"deepspeed.{path}.{name}",
            )


def _flat(native: Mapping[str, Any], prefix: str = "") -> list[str]:
    keys = []
    for key, value in native.items():
        keys.append(f"{prefix}{key}")
        if isinstance(value, Mapping):
            keys += _flat(value, f"{prefix}{key}.")
    return keys
