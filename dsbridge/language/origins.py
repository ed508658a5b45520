"""Where a value comes from: the path that an expression takes it from, as it stands or merely converted."""

from __future__ import annotations

from typing import Any

from dsbridge.language import Expr, LanguageError, View, evaluate
from dsbridge.values import UNSET, Unknown

# Operations that keep the value and change its type or spelling at most.
_KEEPING = frozenset({"to_int", "to_float", "to_text", "lower", "upper"})


def origin(expression: Any, view: View) -> str:
    """The dotted path, or "" for a value that is calculated or constant."""
    if not isinstance(expression, Expr):
        return ""
    if expression.op == "get":
        return str(expression.args[0])
    if expression.op in _KEEPING:
        return origin(expression.args[0], view)
    if expression.op == "first_set":
        return next((origin(o, view) for o in expression.args if _value(o, view) is not UNSET), "")
    if expression.op == "choose":
        condition, then, otherwise = expression.args
        held = _value(condition, view)
        return "" if isinstance(held, Unknown) else origin(then if held else otherwise, view)
    return ""


def origins(expression: Any, view: View) -> dict[str, str]:
    """For a block: the path behind each of its leaves, by dotted name below the block."""
    if not isinstance(expression, Expr):
        return {}
    if expression.op == "choose":
        condition, then, otherwise = expression.args
        held = _value(condition, view)
        return {} if isinstance(held, Unknown) else origins(then if held else otherwise, view)
    if expression.op != "block":
        return {}
    found: dict[str, str] = {}
    for key, part in expression.args[0].items():
        path = origin(part, view)
        if path:
            found[key] = path
        found |= {f"{key}.{name}": inner for name, inner in origins(part, view).items()}
    return found


def _value(expression: Any, view: View) -> Any:
    try:
        return evaluate(expression, view)
    except LanguageError:
        return UNSET
