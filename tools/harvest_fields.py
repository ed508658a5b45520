"""Fields of pydantic models, and values as strict JSON can say them."""

from __future__ import annotations

import enum
import math
import re
import typing
from typing import Any


def type_name(kind: Any) -> str:
    """`int | None` rather than `typing.Optional[int]`, without module paths."""
    text = kind.__name__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind)
    text = re.sub(r"<enum '(\w+)'>|<class '[\w.]*?(\w+)'>", r"\1\2", text)
    return re.sub(r"\b(?:\w+\.)+(?=\w)", "", text).replace("NoneType", "None")


def plain(value: Any) -> Any:
    """The value as strict JSON can say it."""
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if isinstance(value, float) and not math.isfinite(value):
        return "Infinity" if value > 0 else str(value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "model_dump"):
        return plain(value.model_dump())
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def choices(kind: Any) -> list[Any] | None:
    """The values of an enumeration, also of an optional one."""
    for part in (kind, *typing.get_args(kind)):
        if isinstance(part, type) and issubclass(part, enum.Enum):
            return [plain(member) for member in part.__members__.values()]  # aliases stand in messages
    return None


def limits(info: Any) -> dict[str, Any]:
    """Bounds such as ge=0, from pydantic's metadata."""
    names = ("ge", "gt", "le", "lt")
    found = {n: getattr(m, n) for m in info.metadata for n in names if hasattr(m, n)}
    return {name: plain(value) for name, value in found.items()}


def field(name: str, info: Any) -> dict[str, Any]:
    """One pydantic field."""
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    required = info.is_required()
    factory = info.default_factory
    default = None if required else (factory() if factory else info.default)
    row: dict[str, Any] = {
        "name": name,
        "alias": info.alias,
        "type": type_name(info.annotation),
        "default": plain(default),
        "required": required,
    }
    optional = {
        "choices": choices(info.annotation),
        "limits": limits(info) or None,
        "deprecated": bool(extra.get("deprecated") or info.deprecated) or None,
        "deprecated_msg": extra.get("deprecated_msg") or None,
        "new_param": extra.get("new_param") or None,
        "sets_new_param": extra.get("set_new_param"),
    }
    return {**row, **{key: value for key, value in optional.items() if value is not None}}
