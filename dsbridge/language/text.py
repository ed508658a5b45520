"""Text: for values that are text, and for the messages of refusals."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dsbridge.language import Run, View, describe, lazy_op, op, running
from dsbridge.language.logic import merged_needs
from dsbridge.values import Unknown


@lazy_op(lambda template, *args: f'"{template}"')
def text(template: str, *args: Any) -> Run:
    """`template.format(*args)` with Python's str() of each: as a framework's own f-string has it.

    What nobody knows is shown as an ellipsis, which stands for anything when messages are compared.
    """
    runs = [running(arg) for arg in args]

    def run(view: View) -> Any:
        values = [one(view) for one in runs]
        return template.format(*("…" if isinstance(value, Unknown) else value for value in values))

    return run


@op("{0} in lower case")
def lower(value: Any) -> Any:
    """str.lower()."""
    return value.lower()


@op("{0} in upper case")
def upper(value: Any) -> Any:
    """str.upper()."""
    return value.upper()


@op("str({0})")
def to_text(value: Any) -> Any:
    """Python's str()."""
    return str(value)


@op("repr({0})")
def as_repr(value: Any) -> Any:
    """Python's repr()."""
    return repr(value)


@op("the type of {0}")
def type_name(value: Any) -> Any:
    """`str`, `int`, `NoneType`, ..."""
    return type(value).__name__


@op("{0} starts with {1}")
def starts_with(value: Any, start: str) -> Any:
    """str.startswith()."""
    return value.startswith(start)


@op("{0} ends with {1}")
def ends_with(value: Any, end: str) -> Any:
    """str.endswith()."""
    return value.endswith(end)


@op("the items of {0} joined by {1}")
def joined(items: Iterable[Any], separator: str) -> Any:
    """str.join() over str() of each."""
    return separator.join(str(item) for item in items)


@op("the numbers from 0 to below {0}, as text")
def counting(count: int) -> Any:
    """["0", "1"] of 2: how GPUs are named."""
    return [str(number) for number in range(min(count, 1024))]


@op("the last word of {0}")
def last_word(path: Any) -> Any:
    """`stage` of `ds.zero_optimization.stage`."""
    return str(path).rpartition(".")[2]


@lazy_op(lambda *args: "the lines " + "; ".join(describe(a) for a in args))
def lines(*args: Any) -> Run:
    """Those of the texts that are there, a line each: UNSET or empty ones are left out."""
    runs = [running(arg) for arg in args]

    def run(view: View) -> Any:
        values = [one(view) for one in runs]
        if any(isinstance(value, Unknown) for value in values):
            return merged_needs(values)
        return "\n".join(str(value) for value in values if value)

    return run


@op("{0} without its tree's name")
def inside(path: Any) -> Any:
    """`zero_optimization.stage` of `ds.zero_optimization.stage`."""
    return str(path).partition(".")[2]


@op("each of {0} after {1}")
def prefixed(items: Iterable[Any], start: str) -> Any:
    """["ds.a", "ds.b"] of ["a", "b"] and "ds."."""
    return [f"{start}{item}" for item in items]


@op("{0} consists of digits")
def all_digits(value: Any) -> Any:
    """str.isdigit(); false for what is no text."""
    return isinstance(value, str) and value.isdigit()


@op("{0} split at {1}")
def split(value: str, separator: str) -> Any:
    """str.split()."""
    return value.split(separator)
