"""Reading values, three-valued logic, and questions about one value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dsbridge.language import View, describe, evaluate, lazy_op, op
from dsbridge.values import UNSET, Unknown

KINDS: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "bool": bool,
    "int": int,
    "float": float,
    "number": (int, float),
    "dict": dict,
    "list": list,
    "null": type(None),
}


def merged_needs(values: Iterable[Any]) -> Unknown:
    """One Unknown for several."""
    return Unknown(frozenset().union(*(v.needs for v in values if isinstance(v, Unknown))))


@lazy_op("`{raw[0]}`")
def get(view: View, path: str) -> Any:
    """The value at a path."""
    return view.get(path)


@lazy_op("<{raw[0]}>")
def fact(view: View, name: str) -> Any:
    """What only a run knows: world_size, bf16_supported, ..."""
    return view.fact(name)


@lazy_op("the table {raw[0]}")
def table(view: View, name: str) -> Any:
    """A data table for the versions at hand."""
    return view.table(name)


@lazy_op("the value")
def here(view: View) -> Any:
    """In a rule over many paths: the value at this one."""
    return view.here[1]


@lazy_op("its path")
def here_path(view: View) -> Any:
    """In a rule over many paths: this path, without the tree's name."""
    return view.here[0].partition(".")[2]


@lazy_op(lambda *args: " and ".join(describe(a) for a in args))
def all_of(view: View, *conditions: Any) -> Any:
    """True when all are; false as soon as one surely is not."""
    maybe = []
    for condition in conditions:
        value = evaluate(condition, view)
        if isinstance(value, Unknown):
            maybe.append(value)
        elif not value:
            return False
    return merged_needs(maybe) if maybe else True


@lazy_op(lambda *args: "(" + " or ".join(describe(a) for a in args) + ")")
def any_of(view: View, *conditions: Any) -> Any:
    """True when one is; Unknown when only one that nobody knows could be."""
    maybe = []
    for condition in conditions:
        value = evaluate(condition, view)
        if isinstance(value, Unknown):
            maybe.append(value)
        elif value:
            return True
    return merged_needs(maybe) if maybe else False


@op("not ({0})")
def no(value: Any) -> Any:
    """The opposite."""
    return not value


@lazy_op("always")
def always(view: View) -> Any:
    """In every run."""
    return True


@lazy_op("({1} if {0}, else {2})")
def choose(view: View, condition: Any, then: Any, otherwise: Any) -> Any:
    """One of two values. Of an unknown condition, Unknown, unless both come to the same."""
    value = evaluate(condition, view)
    if not isinstance(value, Unknown):
        return evaluate(then if value else otherwise, view)
    one, other = evaluate(then, view), evaluate(otherwise, view)
    if type(one) is type(other) and one == other:
        return one
    return merged_needs([value, one, other])


@lazy_op(lambda *args: ", else ".join(describe(a) for a in args))
def first_set(view: View, *options: Any) -> Any:
    """The first that is there."""
    for option in options:
        value = evaluate(option, view)
        if value is not UNSET:
            return value
    return UNSET


@lazy_op("{0}")
def quietly(view: View, value: Any) -> Any:
    """The value, or UNSET where nobody can know it: for messages only."""
    found = evaluate(value, view)
    return UNSET if isinstance(found, Unknown) else found


@op("{0} is {1}")
def eq(a: Any, b: Any) -> Any:
    """Python's ==, so 1 == 1.0 == True; UNSET equals nothing else."""
    return a == b


@op("{0} is exactly {1}")
def same(a: Any, b: Any) -> Any:
    """Equal and of one type: `is True`, and nothing that merely counts as true."""
    return type(a) is type(b) and bool(a == b)


@op("{0} is not {1}")
def differs(a: Any, b: Any) -> Any:
    """Python's !=."""
    return a != b


@op("{0} is given")
def is_set(value: Any) -> Any:
    """The path is there, null included."""
    return value is not UNSET


@op("{0} is missing")
def missing(value: Any) -> Any:
    """The path is not there."""
    return value is UNSET


@op('{0} is "auto"')
def is_auto(value: Any) -> Any:
    """The text `auto`, exactly."""
    return isinstance(value, str) and value == "auto"


@op(lambda value, *kinds: f"{describe(value)} is of type {' or '.join(str(k) for k in kinds)}")
def is_a(value: Any, *kinds: str) -> Any:
    """Of a JSON type: str, bool, int (not bool), float, number (not bool), dict, list, null."""
    if isinstance(value, bool):
        return "bool" in kinds
    return any(isinstance(value, KINDS[kind]) for kind in kinds)


@op("{0} is one of {1}")
def one_of(value: Any, options: Sequence[Any]) -> Any:
    """Python's `in` for a list or table; an unhashable value is in no set."""
    try:
        return value in options
    except TypeError:
        return False


@op("{0} counts as true")
def truthy(value: Any) -> Any:
    """Python's bool(); a missing value is false."""
    return bool(value)
