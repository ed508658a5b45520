"""DeepSpeed's own config classes, made again from the harvested table: pydantic then coerces and refuses
exactly as it does inside DeepSpeed. What the classes look at beyond a field's type is in validators.py.
"""

from __future__ import annotations

import ast
import enum
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, Optional, Union

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from dsbridge.deepspeed.blocks import PARTS, Blocks, Problem
from dsbridge.deepspeed.validators import VALIDATORS


class dtype:
    """What torch.dtype is to pydantic: a type that no JSON value has."""


class Block(BaseModel):
    """deepspeed/runtime/config_utils.py DeepSpeedConfigModel."""

    model_config = ConfigDict(
        validate_default=True,
        validate_assignment=True,
        use_enum_values=True,
        populate_by_name=True,
        extra="forbid",
        arbitrary_types_allowed=True,
        protected_namespaces=(),
    )

    def __init__(self, strict: Any = False, **data: Any) -> None:
        if not strict:
            data = {k: v for k, v in data.items() if (v != "auto" or k == "replace_method")}
        super().__init__(**data)
        for name, info in type(self).model_fields.items():
            extra = info.json_schema_extra
            if isinstance(extra, dict) and extra.get("deprecated") and name in self.model_fields_set:
                self._replace(name, extra)

    def _replace(self, name: str, extra: Mapping[str, Any]) -> None:
        """Put a deprecated field's value into the one that took its place."""
        new = str(extra.get("new_param", ""))
        if not new or not extra.get("set_new_param", True):
            return
        value: Any = getattr(self, name)
        if isinstance(value, bool) and new.startswith("offload_"):
            part = type(self).model_fields[new].annotation.__args__[0]  # type: ignore[union-attr]
            value = part(device="cpu") if value else None
        delattr(self, name)
        assert new not in self.model_fields_set, (
            f"Cannot provide deprecated parameter '{name}' and replacing parameter '{new}' together"
        )
        setattr(self, new, value)


class Models:
    """The classes of one version, made when they are first needed."""

    def __init__(self, version: str) -> None:
        self.blocks = Blocks(version)
        self.models: dict[str, type[Block] | None] = {}

    def model(self, name: str) -> type[Block] | None:
        """The class of a block, or None where this version has none."""
        if name not in self.models:
            self.models[name] = self._make(name)
        return self.models[name]

    def made(self, name: str, value: Any) -> dict[str, Any] | Problem:
        """The block's fields, or why it is refused."""
        model = self.model(name)
        assert model is not None
        if not isinstance(value, Mapping):
            at = f"{model.__module__}.{model.__name__}()"
            kind = type(value).__name__
            return Problem("TypeError", f"{at} argument after ** must be a mapping, not {kind}", (name,))
        try:
            return _plain(model(**value))
        except ValidationError as error:
            return Problem("ValidationError", _without_address(str(error)), _fields(name, value, error))
        except AssertionError as error:
            return Problem("AssertionError", str(error), (name,))

    def _make(self, name: str) -> type[Block] | None:
        found, read = self.blocks.class_of(name), self.blocks.read(name)
        if found is None:
            return None
        rows, validators = found
        fields = {row["name"]: self._field(row) for row in rows}
        made: type[Block] = create_model(
            read["class"],
            __base__=Block,
            __module__=read["source"].removesuffix(".py").replace("/", "."),
            __validators__={v: VALIDATORS[v] for v in validators if v in VALIDATORS},
            **fields,
        )
        return made

    def _field(self, row: Mapping[str, Any]) -> Any:
        extra = {
            "deprecated": row.get("deprecated", False),
            "new_param": row.get("new_param", ""),
            "set_new_param": row.get("sets_new_param", True),
        }
        options = {**row.get("limits", {}), "alias": row["alias"], "json_schema_extra": extra}
        default = row["default"]
        if row["type"] == "dtype":
            default = dtype()
        return (self._type(row), Field(default, **{k: v for k, v in options.items() if v is not None}))

    def _type(self, row: Mapping[str, Any]) -> Any:
        """The annotation, which the table has as text."""
        names: dict[str, Any] = {
            "Optional": Optional,
            "Union": Union,
            "Literal": Literal,
            "List": list,
            "Dict": dict,
            "Any": Any,
            "Path": Path,
            "dtype": dtype,
            "list": list,
            "tuple": tuple,
            "object": object,
            "int": int,
            "str": str,
            "float": float,
            "bool": bool,
        }
        text = str(row["type"])
        names |= {part: self.model(block) for part, block in PARTS.items() if part in text}
        if "choices" in row:
            kind: Any = int if isinstance(row["choices"][0], int) else str
            members = [(f"member_{index}", value) for index, value in enumerate(row["choices"])]
            names[text] = enum.Enum(text, members, type=kind)
        return _annotation(ast.parse(text, mode="eval").body, names)


@cache
def models(version: str) -> Models:
    """The classes of a version."""
    return Models(version)


def _annotation(node: ast.expr, names: Mapping[str, Any]) -> Any:
    """The type that the table's text names: `Optional[List[Literal['z1', 'z3']]]`."""
    if isinstance(node, ast.Subscript):
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        values = tuple(_annotation(part, names) for part in inner)
        return _annotation(node.value, names)[values if len(values) > 1 else values[0]]
    if isinstance(node, ast.Constant):
        return node.value
    assert isinstance(node, ast.Name)
    return names[node.id]


def _plain(model: Block) -> dict[str, Any]:
    """The fields, parts included, without what only torch knows."""
    found: dict[str, Any] = {}
    for name, value in model.__dict__.items():
        if isinstance(value, Block):
            found[name] = _plain(value)
        elif isinstance(value, Path):
            found[name] = str(value)
        elif not isinstance(value, dtype):
            found[name] = value
    return found


def _without_address(text: str) -> str:
    """pydantic ends each finding with an address that has its own version in it."""
    return "\n".join("    …" if "errors.pydantic.dev" in line else line for line in text.splitlines())


def _fields(name: str, value: Mapping[str, Any], error: ValidationError) -> tuple[str, ...]:
    """The keys at fault, as the user wrote them."""
    found = []
    for finding in error.errors():
        path = [part for part in finding["loc"] if isinstance(part, str)]
        found.append(".".join(path if name == "monitor" and path else [name, *path]))
    return tuple(dict.fromkeys(found))
