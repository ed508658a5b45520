"""Blocks whose values are plainly right, read without pydantic: nearly all blocks of nearly all users.

A block with a key that its class does not know, a value of another type, a deprecated key, or anything a
validator might refuse is left to pydantic itself (blocks.py), whose import takes longer than the rest of
the command. A property test holds that both ways give the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

Rows = Sequence[Mapping[str, Any]]
# The rows of a block's class in the version at hand and the names of its validators; None without a class.
ClassOf = Callable[[str], "tuple[Rows, Sequence[str]] | None"]


class NotPlain(Exception):
    """Ask pydantic."""


_SCALARS = frozenset({"bool", "int", "float", "str", "Path"})
_WHOLE = 2**53  # up to here a float holds every whole number


def read_plain(
    name: str, value: Mapping[str, Any], class_of: ClassOf, parts: Mapping[str, str]
) -> dict[str, Any]:
    """Every field of a block with its value, defaults included.

    parts: the block that a class name reads.

    Raises:
        NotPlain: only pydantic can say.
    """
    found = class_of(name)
    if found is None:
        raise NotPlain
    rows, validators = found
    by_key = _by_key(rows)
    given: dict[str, Any] = {}
    for key, item in value.items():
        if item == "auto" and isinstance(item, str) and key != "replace_method":
            continue
        row = by_key.get(key)
        if row is None or row.get("deprecated") or row["name"] in given:
            raise NotPlain
        given[row["name"]] = _value(row, item, class_of, parts, default=False)
    made = {
        row["name"]: given[row["name"]]
        if row["name"] in given
        else _value(row, row["default"], class_of, parts, default=True)
        for row in rows
        if row["type"] != "dtype"
    }
    for validator in validators:
        _VALIDATORS.get(validator, _fine)(made, given)
    return made


def _by_key(rows: Rows) -> dict[str, Mapping[str, Any]]:
    """By alias and by name: the classes take both."""
    found = {row["name"]: row for row in rows}
    return {**found, **{row["alias"]: row for row in rows if row.get("alias")}}


def _value(
    row: Mapping[str, Any], value: Any, class_of: ClassOf, parts: Mapping[str, str], *, default: bool
) -> Any:
    text = str(row["type"])
    inner = text[9:-1] if text.startswith("Optional[") else text
    if value is None and (inner != text or default):
        return None
    if "choices" in row:
        if any(type(value) is type(choice) and value == choice for choice in row["choices"]):
            return value
        raise NotPlain
    if inner in parts:
        if default and value:
            return dict(value)  # harvested as the class makes it
        if isinstance(value, Mapping):
            return read_plain(parts[inner], value, class_of, parts)
        raise NotPlain
    if inner in _SCALARS:
        return _bounded(_scalar(inner, value), row.get("limits", {}))
    if default:
        return value
    raise NotPlain


def _scalar(kind: str, value: Any) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "bool" and isinstance(value, bool):
        return value
    if kind in ("str", "Path") and isinstance(value, str):
        return value
    if kind == "int" and number and (isinstance(value, int) or _is_whole(value)):
        return int(value)
    if kind == "float" and number and math.isfinite(value):
        return float(value)
    raise NotPlain


def _is_whole(value: float) -> bool:
    return value.is_integer() and abs(value) < _WHOLE


def _bounded(value: Any, limits: Mapping[str, Any]) -> Any:
    tests = {
        "ge": lambda a, b: a >= b,
        "gt": lambda a, b: a > b,
        "le": lambda a, b: a <= b,
        "lt": lambda a, b: a < b,
    }
    for name, bound in limits.items():
        if name not in tests or not tests[name](value, float(bound)):
            raise NotPlain
    return value


def _fine(made: dict[str, Any], given: Mapping[str, Any]) -> None:
    """A validator that plain values always pass."""


def _overlap(made: dict[str, Any], given: Mapping[str, Any]) -> None:
    if made["overlap_comm"] is None:
        made["overlap_comm"] = made["stage"] == 3


def _not_negative(made: dict[str, Any], given: Mapping[str, Any]) -> None:
    if made["loss_scale"] < 0:
        raise NotPlain


def _ratio(made: dict[str, Any], given: Mapping[str, Any]) -> None:
    offload = made["offload_optimizer"]
    if offload and offload["ratio"] < 1.0 and made["stage"] != 3:
        raise NotPlain


def _pydantic(made: dict[str, Any], given: Mapping[str, Any]) -> None:
    if given:
        raise NotPlain


def _only_defaults(*names: str) -> Callable[[dict[str, Any], Mapping[str, Any]], None]:
    def check(made: dict[str, Any], given: Mapping[str, Any]) -> None:
        if any(name in given for name in names):
            raise NotPlain

    return check


_VALIDATORS: Mapping[str, Callable[[dict[str, Any], Mapping[str, Any]], None]] = MappingProxyType(
    {
        "overlap_comm_valid": _overlap,
        "offload_ratio_check": _ratio,
        "compute_grad_norm_valid": _only_defaults("compute_grad_norm"),
        "_validate_loss_scale": _not_negative,
        "_reject_non_integer_scale_params": _fine,
        "_validate_dynamic_loss_scale_params": _only_defaults("loss_scale_window", "min_loss_scale"),
        "_coerce_container_types": _pydantic,
        "_validate_entries": _pydantic,
        "validate_fields": _pydantic,
    }
)
