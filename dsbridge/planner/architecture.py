"""The architectures as data: which modules a layer of each `model_type` has, and of what size.

`architectures.json` is the table; this reads it. A row is one module: its part, its name, and under its kind
(`linear`, `conv1d`, `embedding`, `rms`, `layernorm`, `parameters`) its sizes as expressions over config.json.
`when` says in which layers or releases of transformers it is there, `copies` how often, `tied` whether its
weight is
the embedding's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from dsbridge.planner.expressions import MissingKeys, Names, evaluate, mentioned
from dsbridge.planner.modules import CONV1D, EMBEDDING, LINEAR, OTHER, Block, Module

Row = Mapping[str, Any]


class Architecture(NamedTuple):
    """One `model_type`: where its layers are, its rows, and the names its expressions use."""

    prefix: str
    outside: tuple[Row, ...]
    layer: tuple[Row, ...]
    names: Mapping[str, str]
    positions: str
    norm: str


@cache
def _table() -> Mapping[str, Any]:
    found = json.loads(Path(__file__).with_name("architectures.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def known() -> tuple[str, ...]:
    """Every `model_type` that the table describes."""
    return tuple(_table()["architectures"])


@cache
def architecture(model_type: str) -> Architecture:
    """The table's entry, with what it takes over from the one it is like."""
    own = _table()["architectures"][model_type]
    if "like" in own:
        base = architecture(own["like"])
    else:
        outside = _rows(("embed", "final_rms", "head"))
        base = Architecture("model.layers", outside, (), _table()["names"], "rotary", "")
    return Architecture(
        prefix=own.get("prefix", base.prefix),
        outside=_rows(own["outside"]) if "outside" in own else base.outside,
        layer=_rows(own["layer"]) if "layer" in own else base.layer,
        names={**base.names, **own.get("names", {})},
        positions=own.get("positions", base.positions),
        norm=own.get("norm", base.norm),
    )


def _rows(entries: Iterable[str | Row]) -> tuple[Row, ...]:
    found: list[Row] = []
    for entry in entries:
        found += _table()["blocks"][entry] if isinstance(entry, str) else [entry]
    return tuple(found)


def modules(rows: Iterable[Row], names: Names) -> tuple[Module, ...]:
    """The modules of these rows where `names` holds the config."""
    return tuple(_module(row, names) for row in rows if evaluate(row.get("when", "True"), names))


def _module(row: Row, names: Names) -> Module:
    kind = next(k for k in (LINEAR, CONV1D, EMBEDDING, "rms", "layernorm", "parameters") if k in row)
    if kind == "parameters":
        weights = [(name, _shape(sizes, names)) for name, sizes in row[kind].items()]
    else:
        shape = _shape(row[kind], names)
        weights = [("weight", shape[::-1] if kind == LINEAR else shape)]
        if evaluate(row.get("bias", "False"), names):
            # a matrix of norms has no bias in any model we know of; a linear map's is as long as its output
            weights.append(("bias", shape[-1:]))
    return Module(
        name=row["name"],
        part=row["part"],
        kind=OTHER if kind == "parameters" else kind,
        weights=tuple(weights),
        copies=_size(row["copies"], names) if "copies" in row else 1,
        tied="weight" if evaluate(row.get("tied", "False"), names) else "",
    )


def _shape(sizes: Iterable[str], names: Names) -> tuple[int, ...]:
    return tuple(_size(text, names) for text in sizes)


def _size(text: str, names: Names) -> int:
    value = evaluate(text, names)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise MissingKeys(*sorted(name for name in mentioned(text) if not names[name]) or [text])
    return value


def blocks(found: Architecture, config: Mapping[str, Any], layers: int) -> tuple[Block, ...]:
    """The layers, those alike together, in the order of their first."""
    alike: dict[tuple[Module, ...], list[int]] = {}
    by_rows: dict[tuple[bool, ...], tuple[Module, ...]] = {}
    for index in range(layers):
        names = Names({**config, "i": index}, found.names)
        present = tuple(bool(evaluate(row.get("when", "True"), names)) for row in found.layer)
        if present not in by_rows:
            by_rows[present] = modules(found.layer, names)
        alike.setdefault(by_rows[present], []).append(index)
    return tuple(Block(tuple(indexes), held) for held, indexes in alike.items())
