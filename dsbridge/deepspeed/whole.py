"""A DeepSpeed config in full: older names and forms in their present shape, defaults filled in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from dsbridge.deepspeed.blocks import Blocks
from dsbridge.deepspeed.meanings import place_of
from dsbridge.trees import copied, flat, lookup, store
from dsbridge.values import UNSET, Unknown

_OFFLOADS = ("zero_optimization.offload_param", "zero_optimization.offload_optimizer")
_ELSEWHERE = ("optimizer", "scheduler", "monitor")  # told by whoever owns them, or no key of a config


class Whole(NamedTuple):
    """values: by path. asked: paths that the config itself has. unread: those its version does not read."""

    values: Mapping[str, Any]
    asked: frozenset[str]
    unread: frozenset[str]


def whole(config: Any, version: str) -> Whole:
    """What DeepSpeed of this version makes of a config that it takes."""
    given = _present_form(config)
    unknown = {path: value for path, value in flat(given).items() if isinstance(value, Unknown)}
    known = _without(given)
    blocks = Blocks(version)
    values: dict[str, Any] = {}
    unread: set[str] = set()
    asked: set[str] = set()
    for name in blocks.known["blocks"]:
        if name in _ELSEWHERE or (name.startswith("zero_optimization.") or name == "tensor_parallel.tp"):
            continue  # read inside another block
        said = lookup(known, name)
        made = blocks.values(name, said if isinstance(said, Mapping) else {}) or {}
        names = _names(blocks, name)
        values |= _block(blocks, name, made, names)
        for path in flat(said, name) if isinstance(said, Mapping) and said else ():
            own, _, rest = path.removeprefix(f"{name}.").partition(".")
            place = f"{name}.{names.get(own, own)}" + (f".{rest}" if rest else "")
            asked.add(place)
            if not blocks.read(name):
                values[place] = lookup(known, path)
                unread.add(place)
            elif own not in names:
                values[place] = lookup(known, path)
        known = _removed(known, name)
    for path, value in flat(known).items():
        if path and path.partition(".")[0] not in _ELSEWHERE and value not in ({}, []):
            values[path] = value
            asked.add(path)
    for row in blocks.rows(blocks.known["top_level"]):
        values.setdefault(place_of(row), row["default"])
    return Whole({**values, **unknown}, frozenset({*asked, *unknown}), frozenset(unread))


def _present_form(config: Any) -> dict[str, Any]:
    """`zero_optimization: true` and `bfloat16`, from before (deepspeed/runtime/zero/config.py:51)."""
    given = copied(config) if isinstance(config, Mapping) else {}
    switch = given.get("zero_optimization")
    if isinstance(switch, bool):
        size = given.get("allgather_size", 500_000_000)
        given["zero_optimization"] = {"stage": 1, "allgather_bucket_size": size} if switch else {"stage": 0}
    older = given.pop("bfloat16", None)
    if given.get("bf16") is None and older is not None:
        given["bf16"] = older
    return given


def _without(value: Any) -> Any:
    """The config without what is unknown."""
    if isinstance(value, Mapping):
        return {key: _without(item) for key, item in value.items() if not isinstance(item, Unknown)}
    return value


def _removed(config: dict[str, Any], name: str) -> dict[str, Any]:
    store(config, name, UNSET)
    return config


def _names(blocks: Blocks, name: str) -> dict[str, str]:
    """The key of each field, by its key and by the name it has in its class."""
    rows = blocks.rows(blocks.known["blocks"][name]["fields"])
    keys = {row["name"]: row.get("alias") or row["name"] for row in rows}
    return {**keys, **{key: key for key in keys.values()}}


def _block(blocks: Blocks, name: str, made: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """A block's leaves by path. What replaced a deprecated key tells its story; that key does not."""
    old = {
        row["name"] for row in blocks.rows(blocks.known["blocks"][name]["fields"]) if row.get("deprecated")
    }
    found: dict[str, Any] = {}
    for field, value in made.items():
        path = f"{name}.{names.get(field, field)}"
        if field in old:
            continue
        if path in _OFFLOADS and value is None:
            value = blocks.values(path, {"device": "none"})
        found |= flat(value, path)
    return found
