"""Arithmetic, with Python's own meaning."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from typing import Any

from dsbridge.language import describe, op
from dsbridge.values import UNSET


@op("{0} + {1}")
def add(a: Any, b: Any) -> Any:
    """Sum."""
    return a + b


@op("{0} - {1}")
def sub(a: Any, b: Any) -> Any:
    """Difference."""
    return a - b


@op(lambda *args: " x ".join(describe(a) for a in args))
def mul(*numbers: Any) -> Any:
    """Product."""
    result = numbers[0]
    for number in numbers[1:]:
        result = result * number
    return result


@op("{0} / {1}")
def div(a: Any, b: Any) -> Any:
    """True division."""
    return a / b


@op("{0} // {1}")
def floor_div(a: Any, b: Any) -> Any:
    """Division, rounded down."""
    return a // b


@op("{0} modulo {1}")
def mod(a: Any, b: Any) -> Any:
    """Remainder."""
    return a % b


@op("{0} rounded up")
def ceil(a: Any) -> Any:
    """math.ceil."""
    return math.ceil(a)


@op("{0} < {1}")
def less(a: Any, b: Any) -> Any:
    """a < b."""
    return a < b


@op("{0} <= {1}")
def at_most(a: Any, b: Any) -> Any:
    """a <= b."""
    return a <= b


@op("int({0})")
def to_int(value: Any) -> Any:
    """Python's int()."""
    return int(value)


@op("float({0})")
def to_float(value: Any) -> Any:
    """Python's float()."""
    return float(value)


@op(lambda *args: f"the least of {', '.join(describe(a) for a in args)}")
def least(*values: Any) -> Any:
    """min() of several numbers or of one list."""
    return min(*_given(values))


@op(lambda *args: f"the greatest of {', '.join(describe(a) for a in args)}")
def greatest(*values: Any) -> Any:
    """max() of several numbers or of one list."""
    return max(*_given(values))


def _given(values: tuple[Any, ...]) -> Iterable[Any]:
    return (values[0],) if len(values) == 1 else values


@op("{0} reads as an integer")
def reads_as_int(value: Any) -> Any:
    """int(value) would succeed."""
    try:
        int(value)
    except (TypeError, ValueError):
        return False
    return True


@op("{0} reads as a number")
def reads_as_float(value: Any) -> Any:
    """float(value) would succeed."""
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


_SIGNS: dict[str, Any] = {
    "|": operator.or_,
    "//": operator.floordiv,
    "//=": operator.ifloordiv,
    ">": operator.gt,
    "<": operator.lt,
    "<=": operator.le,
    "-": operator.sub,
    "*": operator.mul,
    "%": operator.mod,
    "**": operator.pow,
}


@op("what Python says to {1} {raw[0]} {2}")
def trouble(sign: str, a: Any, b: Any) -> Any:
    """The exception of an operation as {"type", "message"}; UNSET where it succeeds."""
    kinds = {type(a), type(b)}
    if sign in ("**", "*") and kinds <= {int, float, bool}:
        return UNSET  # it works, and may be huge
    if sign == "*" and len(kinds - {str, list}) == 1 and kinds - {str, list} <= {int, bool}:
        return UNSET  # a text or a list, repeated: it works too
    try:
        _SIGNS[sign](a, b)
    except (TypeError, ValueError, ArithmeticError) as error:
        return {"type": type(error).__name__, "message": str(error)}
    return UNSET
