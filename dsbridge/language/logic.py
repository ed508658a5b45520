"""Reading values, three-valued logic, and questions about one value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dsbridge.language import Run, View, describe, lazy_op, op, running
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
def get(path: str) -> Run:
    """The value at a path."""
    return lambda view: view.get(path)


@lazy_op("<{raw[0]}>")
def fact(name: str) -> Run:
    """What only a run knows: world_size, bf16_supported, ..."""
    return lambda view: view.fact(name)


@lazy_op("the table {raw[0]}")
def table(name: str) -> Run:
    """A data table for the versions at hand."""
    return lambda view: view.table(name)


@lazy_op("the value")
def here() -> Run:
    """In a rule over many paths: the value at this one."""
    return lambda view: view.here[1]


@lazy_op("its path")
def here_path() -> Run:
    """In a rule over many paths: this path, without the tree's name."""
    return lambda view: view.here[0].partition(".")[2]


@lazy_op(lambda *args: " and ".join(describe(a) for a in args))
def all_of(*conditions: Any) -> Run:
    """True when all are; false as soon as one surely is not."""
    runs = [running(condition) for condition in conditions]

    def run(view: View) -> Any:
        maybe = []
        for condition in runs:
            value = condition(view)
            if type(value) is Unknown:
                maybe.append(value)
            elif not value:
                return False
        return merged_needs(maybe) if maybe else True

    return run


@lazy_op(lambda *args: "(" + " or ".join(describe(a) for a in args) + ")")
def any_of(*conditions: Any) -> Run:
    """True when one is; Unknown when only one that nobody knows could be."""
    runs = [running(condition) for condition in conditions]

    def run(view: View) -> Any:
        maybe = []
        for condition in runs:
            value = condition(view)
            if type(value) is Unknown:
                maybe.append(value)
            elif value:
                return True
        return merged_needs(maybe) if maybe else False

    return run


@op("not ({0})")
def no(value: Any) -> Any:
    """The opposite."""
    return not value


@lazy_op("always")
def always() -> Run:
    """In every run."""
    return lambda _: True


@lazy_op("({1} if {0}, else {2})")
def choose(condition: Any, then: Any, otherwise: Any) -> Run:
    """One of two values. Of an unknown condition, Unknown, unless both come to the same."""
    asked, yes, no = running(condition), running(then), running(otherwise)

    def run(view: View) -> Any:
        value = asked(view)
        if type(value) is not Unknown:
            return yes(view) if value else no(view)
        one, other = yes(view), no(view)
        if type(one) is type(other) and one == other:
            return one
        return merged_needs([value, one, other])

    return run


@lazy_op(lambda *args: ", else ".join(describe(a) for a in args))
def first_set(*options: Any) -> Run:
    """The first that is there."""
    runs = [running(option) for option in options]

    def run(view: View) -> Any:
        for option in runs:
            value = option(view)
            if value is not UNSET:
                return value
        return UNSET

    return run


@lazy_op("{0}")
def quietly(value: Any) -> Run:
    """The value, or UNSET where nobody can know it: for messages only."""
    inner = running(value)

    def run(view: View) -> Any:
        found = inner(view)
        return UNSET if type(found) is Unknown else found

    return run


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
