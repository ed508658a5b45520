"""Sizes and conditions of the architectures table: a few operators over the keys of a model's config.

Only arithmetic, comparison, and choice can be written: no call, no attribute. A key that the config has not
is None, as the framework's own `getattr(config, key, None)`.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache
from types import CodeType
from typing import Any

_ALLOWED = (
    *(ast.Expression, ast.Constant, ast.Name, ast.Load, ast.Tuple, ast.Subscript, ast.IfExp),
    *(ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Mod),
    *(ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub),
    *(ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn, ast.Is, ast.IsNot),
)


class BadExpression(ValueError):
    """A row of the table says what the little language has no word for: ours to mend."""


class MissingKeys(ValueError):
    """A size cannot be told: the config has no value for these keys. `args` is their names."""


class Names(dict[str, Any]):
    """Keys of a config by name, and names derived from them, worked out when asked for; None for any other.

    A derived name goes before a key of the same name.
    """

    def __init__(self, config: Mapping[str, Any], derived: Mapping[str, str]) -> None:
        super().__init__((key, value) for key, value in config.items() if key not in derived)
        self.derived = derived

    def __missing__(self, key: str) -> Any:
        if key not in self.derived:
            return None
        value = self[key] = evaluate(self.derived[key], self)
        return value


@cache
def _compiled(text: str) -> CodeType:
    tree = ast.parse(text, mode="eval")
    for node in ast.walk(tree):
        if not isinstance(node, _ALLOWED):
            raise BadExpression(f"{text!r}: {type(node).__name__} is not allowed here")
    return compile(tree, text, "eval")


def evaluate(text: str, names: Names) -> Any:
    """The value of an expression where `names` holds what it speaks of."""
    try:
        return eval(_compiled(text), {"__builtins__": {}}, names)
    except (TypeError, ZeroDivisionError, IndexError) as error:
        missing = sorted(name for name in mentioned(text) if not names[name])
        raise MissingKeys(*missing) from error


@cache
def mentioned(text: str) -> frozenset[str]:
    """The names that an expression reads."""
    _compiled(text)
    return frozenset(node.id for node in ast.walk(ast.parse(text, mode="eval")) if isinstance(node, ast.Name))
