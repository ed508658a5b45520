"""What a DeepSpeed release does with the keys that it reads, tried out on its own parser.

For every key found by `tools/trace_keys.py`: the kinds of value that the parser refuses; for every block:
whether a key that nobody asks for is refused, ignored, or handed on with the block.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import typing
from collections.abc import Iterator
from functools import cache
from typing import Any

from tools.harvest_fields import plain
from tools.scan_keys import scanned
from tools.trace_keys import BASE, TEXT, Explorer, State
from tools.tracing import ANY, MISSING, join

KINDS: dict[str, Any] = {
    "boolean": True,
    "integer": 1,
    "fraction": 0.5,
    "text": TEXT,
    "auto": "auto",
    "quoted number": "1",
    "quoted boolean": "true",
    "null": None,
    "list": [],
    "object": {},
}
NOBODY = "a_key_that_nobody_reads"


def read_keys() -> dict[str, Any]:
    """For each block: what happens to an unknown key, and its keys with what is known of each.

    A block that a class takes apart has that class instead of keys: its fields are harvested with it.
    """
    explorer = Explorer()
    found = explorer.explore()
    removed = removed_keys()
    names = {key for path, key in found.keys if not path} - removed
    for place, value in defaults().items():
        if place[0] in names:
            found.keys.setdefault(place, value)
    late = {place: file for place, file in scanned().items() if not place[0] or _top(place[0]) in names}
    for place in late:
        found.keys.setdefault(place, MISSING)
    walked, kept, compared = set(found.walked), set(found.kept), dict(found.compared)
    keys, classes = dict(found.keys), dict(found.classes)
    blocks = {path for path, _ in keys} | set(classes)
    blocks |= {path for path in walked | kept if keys.get(_pair(path)) == {}}
    result: dict[str, Any] = {}
    for block in sorted(blocks):
        row: dict[str, Any] = {"unknown": unknown(explorer, block, walked | kept)}
        if block in classes:
            row |= {"class": classes[block], "keys": {}}
        else:
            here = sorted(key for path, key in keys if path == block and not (not path and key in removed))
            row["keys"] = {key: about(explorer, block, key, keys, compared, late) for key in here}
        result[block] = row
    return result


def removed_keys() -> set[str]:
    """Top-level keys that stop this release: asked for, but only to be refused."""
    config = vars(importlib.import_module("deepspeed.runtime.config"))
    return set(config.get("_REMOVED_TOP_LEVEL_CONFIG_KEYS", {}))


def defaults() -> dict[tuple[str, str], Any]:
    """What `get_<block>_config` makes of nothing: a dict of the block's keys and their defaults."""
    config = vars(importlib.import_module("deepspeed.runtime.config"))
    found: dict[tuple[str, str], Any] = {}
    for name, reader in config.items():
        if name.startswith("get_") and name.endswith("_config"):
            block = name.removeprefix("get_").removesuffix("_config")
            try:
                made = reader({})
            except Exception:
                continue
            if type(made) is dict:
                found |= {(block, key): value for key, value in made.items() if type(value) is not dict}
    return found


def classes_of(read: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """The classes that take blocks apart, and those of their fields: block -> (module, class)."""
    found: dict[str, tuple[str, str]] = {}
    for block, row in read.items():
        if "class" in row:
            module, _, name = row["class"].partition(":")
            found |= {
                path: (kind.__module__, kind.__name__) for path, kind in _parts(block, _model(module, name))
            }
    return found


def _model(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def _parts(block: str, model: Any) -> Iterator[tuple[str, Any]]:
    yield block, model
    for name, info in model.model_fields.items():
        for kind in (info.annotation, *typing.get_args(info.annotation)):
            if hasattr(kind, "model_fields"):
                yield from _parts(f"{block}.{name}", kind)


def _top(path: str) -> str:
    return path.partition(".")[0]


def _pair(path: str) -> tuple[str, str]:
    block, _, key = path.rpartition(".")
    return block, key


def about(
    explorer: Explorer,
    block: str,
    key: str,
    keys: dict[tuple[str, str], Any],
    compared: dict[str, set[Any]],
    late: dict[tuple[str, str], str],
) -> dict[str, Any]:
    """One key: its default, the texts that its value is compared with, the kinds of value refused."""
    path, row = join(block, key), {}
    default = keys[block, key]
    if default is not MISSING:
        row["default"] = plain(default)
    values = sorted(compared.get(path, ()))
    if (block, key) in late and path not in explorer.found.state:
        return row | {"source": late[block, key]}
    is_block = any(inner == path or inner.startswith(f"{path}.") for inner, _ in keys)
    refuses, any_case = refused(explorer, path, values, is_block)
    if not refuses and not values and not is_block:
        values = sorted(word for word in words() if explorer.run(_with(explorer, path, word))[2] is None)
        if len(values) < len(words()):  # else any text is taken
            refuses, any_case = refused(explorer, path, values, is_block)
        if not refuses:
            values = []
    if values:
        row["values"] = values
    if any_case:
        row["any_case"] = True
    return row | ({"refuses": refuses} if refuses else {})


def refused(explorer: Explorer, path: str, values: list[str], is_block: bool) -> tuple[list[str], bool]:
    """The kinds of value that the parser refuses there, and whether it takes its texts in any case.

    Of two ways to get there, the one that allows most. No kind is right: the place was not reached. All that
    is true is wrong: that is what the value means, such as a switch that wants other keys or another machine.
    """
    place = tuple(path.split("."))
    kinds = KINDS | {f"={value}": value for value in values} | {f"~{v}": v.swapcase() for v in values}
    found = []
    for state in (BASE, explorer.found.state.get(path, BASE)):
        one = {kind: explorer.run({**state, place: value})[2] for kind, value in kinds.items()}
        found.append([kind for kind, error in one.items() if error])
    wrong = min(found, key=len)
    best = [kind for kind in wrong if kind in KINDS]
    if len(wrong) == len(kinds) or (not is_block and {kind for kind in KINDS if KINDS[kind]} == set(best)):
        return [], False
    cased = bool(values) and "text" in best and not any(f"~{value}" in wrong for value in values)
    return best, cased


def _with(explorer: Explorer, path: str, value: Any) -> State:
    return {**explorer.found.state.get(path, BASE), tuple(path.split(".")): value}


@cache
def words() -> tuple[str, ...]:
    """The single words that stand as texts in DeepSpeed's parser: the names of modes and types among them."""
    source = inspect.getsource(importlib.import_module("deepspeed.runtime.config"))
    texts = (node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant))
    return tuple(sorted({t for t in texts if isinstance(t, str) and re.fullmatch(r"[\w.]{2,30}", t)}))


def unknown(explorer: Explorer, block: str, whole: set[str]) -> str:
    """What happens to a key of the block that nobody asks for."""
    if not block:
        return "refused" if explorer.run({**BASE, (NOBODY,): 1})[2] else "ignored"
    place = tuple(block.split("."))
    for state in (BASE, explorer.found.state.get(block, BASE)):
        without = {name: value for name, value in state.items() if name != place}
        if explorer.run({**without, place: {}})[2]:
            continue
        if explorer.run({**without, (*place, NOBODY): 1})[2]:
            return "refused"
        break
    return "kept" if block in whole or f"{block}.{ANY}" in whole else "ignored"
