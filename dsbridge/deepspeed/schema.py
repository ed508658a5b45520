"""The JSON Schema of a `ds_config.json` for one DeepSpeed release, from the harvested tables.

It is meant for an editor, so in three places it says less or more than the release's own parser:

- `"auto"` stands wherever a setting does. The Hugging Face frameworks fill some of them in, and DeepSpeed's
  classes drop the others and take the default; which is which depends on who reads the file.
- At the top level DeepSpeed ignores an unknown key in silence, so that a typo trains something else. Here
  only names that begin with `_` or `//` are free, for comments.
- A number or a switch is not in quotes, though the classes would convert some.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from dsbridge.deepspeed.known import ANY, NO_DEFAULT, Block, Key, harvested, known_keys, releases_with

COMMENTS = "^(_|//)"
NAMES = {"bool": "boolean", "int": "integer", "float": "number", "str": "string", "Path": "string"}
LISTS = ("list", "List", "tuple", "Tuple")
OBJECTS = ("dict", "Dict")
LIMITS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
# kinds of value that were tried on the parser (tools/probe_keys.py) -> JSON's type
TRIED = {
    "boolean": "boolean",
    "integer": "integer",
    "fraction": "number",
    "text": "string",
    "null": "null",
    "list": "array",
    "object": "object",
}

Schema = dict[str, Any]


def deepspeed_schema(version: str) -> Schema:
    """JSON Schema (draft 2020-12) of the config that a harvested release reads."""
    blocks = known_keys(version)
    top = _block(blocks[""], blocks)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"DeepSpeed {version} config",
        **top,
        "patternProperties": {COMMENTS: {}},
        "additionalProperties": False,
    }


def _block(block: Block, blocks: Mapping[str, Block]) -> Schema:
    if block.named_by_user:
        entry = blocks.get(f"{block.path}.{ANY}")
        return {"type": "object", "additionalProperties": _block(entry, blocks) if entry else True}
    properties = {name: _property(block, key, blocks) for name, key in block.keys.items()}
    for name, message in block.removed.items():
        properties[name] = {"not": {}, "description": f"Removed: {message}"}
    return {
        "type": "object",
        "properties": properties,
        **({"additionalProperties": False} if block.unknown == "refused" else {}),
    }


def _property(block: Block, key: Key, blocks: Mapping[str, Block]) -> Schema:
    found: Schema
    if key.block is not None:
        found = _with(_block(blocks[key.block], blocks), _beside_block(key))
    else:
        found = _value(key)
    if key.default is not NO_DEFAULT and not isinstance(key.default, Mapping):
        found["default"] = key.default
    if key.deprecated:
        found["deprecated"] = True
    return {**found, "description": _description(block, key)}


def _with(found: Schema, others: list[str]) -> Schema:
    """More types beside those of a schema; its other words speak of its own type alone."""
    own = [found["type"]] if isinstance(found["type"], str) else found["type"]
    kinds = [*own, *(kind for kind in others if kind not in own)]
    auto = {"pattern": "^auto$"} if "string" in others and "string" not in own else {}
    return {**found, "type": kinds if len(kinds) > 1 else kinds[0], **auto}


def _beside_block(key: Key) -> list[str]:
    """What may stand in a block's place: `zero_optimization: true`, null, or "auto"."""
    if key.type is not None:
        return ["string", *(["null"] if key.type.startswith("Optional") else [])]
    return [kind for kind in ("boolean", "null") if key.refuses and kind not in key.refuses]


def _value(key: Key) -> Schema:
    if key.choices:
        return {"enum": _spellings(key)}
    if key.type is not None:
        found = _annotation(ast.parse(key.type, mode="eval").body)
        limits = {LIMITS[name]: value for name, value in key.limits.items()}
        return _with({**found, **limits}, ["string"]) if "type" in found else found
    kinds = _tried(key) if key.refuses else _like(key.default)
    return _with({"type": kinds}, ["string"]) if kinds else {}


def _spellings(key: Key) -> list[Any]:
    """The choices as people write them: `WARN`, `warn` and `Warn` where capitals do not count."""
    found: dict[Any, None] = dict.fromkeys(key.choices)
    if key.any_case:
        for text in key.choices:
            found |= dict.fromkeys((text, text.lower(), text.upper(), text.capitalize()))
    null = [] if (key.refuses and "null" in key.refuses) or key.type is not None else [None]
    return [*found, "auto", *null]


def _tried(key: Key) -> list[str]:
    """The types that the parser took, when each was tried."""
    kinds = [kind for tried, kind in TRIED.items() if tried not in key.refuses]
    return [kind for kind in kinds if not (kind == "integer" and "number" in kinds)]


def _like(default: Any) -> list[str]:
    """The types that go with a default, where the parser takes everything and the engine uses it later.

    A text says nothing: `modules` of a compression group is `"*"` or a list.
    """
    if isinstance(default, bool):
        return ["boolean"]
    return ["number", "null"] if isinstance(default, int | float) else []


def _annotation(node: ast.expr) -> Schema:
    """What pydantic takes for a class's annotation: `Optional[List[Literal['z1', 'z3']]]`."""
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        outer = node.value.id
        if outer == "Literal":
            return {"enum": [part.value for part in parts if isinstance(part, ast.Constant)]}
        if outer in LISTS:
            return {"type": "array", "items": _annotation(parts[0])}
        if outer in OBJECTS:
            return {"type": "object"}
        options = [_annotation(part) for part in parts]
        return _either([*options, {"type": "null"}] if outer == "Optional" else options)
    name = node.id if isinstance(node, ast.Name) else ""
    if name in NAMES:
        return {"type": NAMES[name]}
    kind = "array" if name in LISTS else "object" if name in OBJECTS else None
    return {"type": kind} if kind else {}


def _either(options: list[Schema]) -> Schema:
    if any(not option for option in options):
        return {}
    if all(set(option) == {"type"} for option in options):
        return {"type": [option["type"] for option in options]}
    return {"anyOf": options}


def _description(block: Block, key: Key) -> str:
    """From which release to which it is read, and what is to be known of it."""
    known, all_releases = releases_with(block.path, key.name), harvested()
    parts = [f"Read by DeepSpeed {known[0]} to {known[-1]}."]
    if known == all_releases:
        parts = []
    if key.deprecated:
        parts.append(key.deprecated_message or "Deprecated.")
        if key.replacement:
            parts.append(f"Use `{key.replacement}`.")
    if key.other_name:
        parts.append(f"Also called `{key.other_name}`.")
    if "auto" in key.refuses and key.block is None and not key.choices:
        parts.append('DeepSpeed itself refuses "auto": a framework must fill it in.')
    return " ".join(parts) or f"Read by every release from {all_releases[0]} to {all_releases[-1]}."
