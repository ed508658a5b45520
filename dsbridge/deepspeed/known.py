"""Which keys a DeepSpeed release reads, block by block, from the harvested tables.

`fields.json` has the blocks that a pydantic class takes apart, `read_keys.json` those that are read key by
key (tools/harvest.py). Here they are one: for each block its keys, and what becomes of a key that nobody
reads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from dsbridge.deepspeed.blocks import Blocks, class_table

ANY = "*"  # in a block's path: an entry whose name is the user's own
NO_DEFAULT = object()
SIGNATURES = {
    "optimizer.params": ("optimizer_classes", "torch_optimizers"),
    "scheduler.params": ("scheduler_classes", "torch_schedulers"),
}


class Key(NamedTuple):
    """One key of a block, as one release reads it."""

    name: str
    type: str | None = None
    """The class's annotation (`int | None`), or None where the key is read without a class."""
    default: Any = NO_DEFAULT
    """`NO_DEFAULT` where it is required, or where the code asks first whether it is there."""
    required: bool = False
    choices: tuple[Any, ...] = ()
    """All values that are accepted, where the release has such a list."""
    any_case: bool = False
    """The texts among `choices` are taken in capitals and in small letters."""
    limits: Mapping[str, float] = {}
    refuses: tuple[str, ...] = ()
    """Kinds of value that the parser refused when tried; of keys without a class (tools/probe_keys.py)."""
    other_name: str | None = None
    """The same setting's other name, which is accepted as well."""
    deprecated: bool = False
    deprecated_message: str | None = None
    replacement: str | None = None
    block: str | None = None
    """The block that the value is read as."""


class Block(NamedTuple):
    """One block of the config; the path of the top level is the empty text."""

    path: str
    keys: Mapping[str, Key]
    unknown: Literal["refused", "ignored", "kept"]
    """A key that nobody reads stops the release, is lost, or is handed on with the block."""
    removed: Mapping[str, str]
    """Keys of older releases that stop this one, with what it says."""
    named_by_user: bool
    """Its entries' names are free; what is in one is at `<path>.*`."""
    class_name: str | None


@cache
def _read_keys() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(__file__).with_name("read_keys.json").read_text(encoding="utf-8"))
    return found


@cache
def harvested() -> tuple[str, ...]:
    """The releases that were harvested, oldest first."""
    return tuple(_read_keys()["versions"])


@cache
def known_keys(version: str) -> Mapping[str, Block]:
    """The blocks of a release, by their dotted path; of the nearest older one that was harvested."""
    classes = Blocks(version)
    found: dict[str, Block] = {}
    by_class = {
        how["class"]: name for name in classes.known["blocks"] if "class" in (how := classes.read(name))
    }
    for path, table in _read_keys()["blocks"].items():
        for how in classes.rows(table["read"]):
            name = by_class.get(how.get("class", "").partition(":")[2])
            if name is not None:
                found |= {block.path: block for block in _of_class(classes, by_class, path, name)}
            else:
                found[path] = _read_one_by_one(classes, path, table, how["unknown"])
    for path, kinds in SIGNATURES.items():
        found.setdefault(path, Block(path, {}, "kept", {}, False, None))
        found[path] = found[path]._replace(keys={**_parameters(classes, kinds), **found[path].keys})
    for name in classes.known["blocks"]:  # read by the class of another: tensorboard, wandb
        if "class" in classes.read(name) and name in found[""].keys and name not in found:
            found |= {block.path: block for block in _of_class(classes, by_class, name, name)}
    for path in [path for path in found if f".{ANY}" in path]:
        for end in re.finditer(re.escape(f".{ANY}"), path):
            place = path[: end.start()]
            found.setdefault(place, Block(place, {}, "kept", {}, True, None))
    return {path: _linked(block, found) for path, block in sorted(found.items())}


@cache
def releases_with(path: str, name: str) -> tuple[str, ...]:
    """The harvested releases that know the key `name` in the block `path`."""
    if name not in _every_name():
        return ()  # the tables of thirty releases need not be built for a typo
    blocks = ((version, known_keys(version).get(path)) for version in harvested())
    return tuple(version for version, block in blocks if block is not None and name in block.keys)


@cache
def _every_name() -> frozenset[str]:
    """Every text of the tables: the names of all keys of all releases are among them."""
    found: set[str] = set()
    waiting: list[Any] = [_read_keys(), class_table()]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            found.update(item)
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
        elif isinstance(item, str):
            found.add(item)
    return frozenset(found)


def _read_one_by_one(classes: Blocks, path: str, table: Mapping[str, Any], unknown: Any) -> Block:
    keys = {row["name"]: _key(row) for row in classes.rows(table["keys"])}
    return Block(path, keys, unknown, _removed(classes, path), False, None)


def _parameters(classes: Blocks, kinds: tuple[str, ...]) -> dict[str, Key]:
    """All that the classes of these kinds take; which takes what is in the layer's tables of signatures."""
    signatures = (
        row for kind in kinds for rows in classes.known[kind].values() for row in classes.rows(rows)
    )
    return {name: Key(name) for row in signatures for name in row["takes"]}


def _key(row: Mapping[str, Any]) -> Key:
    refuses, values = tuple(row.get("refuses", ())), tuple(row.get("values", ()))
    return Key(
        name=row["name"],
        default=row.get("default", NO_DEFAULT),
        # a text that is compared with others, and refused when it is none of them
        choices=values if "text" in refuses else (),
        any_case=row.get("any_case", False),
        refuses=refuses,
    )


def _of_class(classes: Blocks, by_class: Mapping[str, str], path: str, name: str) -> Iterator[Block]:
    """The block of a class, and those of its fields."""
    how, keys = classes.read(name), {}
    for row in classes.rows(classes.known["blocks"][name]["fields"]):
        names = [n for n in (row.get("alias"), row["name"]) if n]
        for one in names:
            keys[one] = _field(row, one, next((other for other in names if other != one), None))
            for kind in re.findall(r"\w+", row["type"]):
                if kind in by_class:
                    yield from _of_class(classes, by_class, f"{path}.{one}", by_class[kind])
    unknown: Literal["refused", "ignored"] = "refused" if how.get("extra") == "forbid" else "ignored"
    yield Block(path, keys, unknown, _removed(classes, path), False, how["class"])


def _field(row: Mapping[str, Any], name: str, other: str | None) -> Key:
    return Key(
        name=name,
        type=row["type"],
        default=NO_DEFAULT if row["required"] else row["default"],
        required=row["required"],
        choices=tuple(row.get("choices", ())),
        limits=row.get("limits", {}),
        other_name=other,
        deprecated=row.get("deprecated", False),
        deprecated_message=row.get("deprecated_msg"),
        replacement=row.get("new_param"),
    )


def _removed(classes: Blocks, path: str) -> Mapping[str, str]:
    rows = classes.known["removed"].get(path or "top_level", ())
    return {row["name"]: row["text"] for row in classes.rows(rows)}


def _linked(block: Block, found: Mapping[str, Block]) -> Block:
    """The block with the blocks that its keys are read as."""
    prefix = f"{block.path}." if block.path else ""
    keys = {
        name: key._replace(block=f"{prefix}{name}" if f"{prefix}{name}" in found else None)
        for name, key in block.keys.items()
    }
    return block._replace(keys=keys)
