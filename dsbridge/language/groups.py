"""Lists and mappings: several values at once, and the paths inside a tree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dsbridge.language import Run, View, describe, lazy_op, op, running
from dsbridge.language.logic import merged_needs
from dsbridge.values import UNSET, Unknown


def walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every leaf with its dotted path, in the order it was written, depth first. Lists are leaves."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from walk(item, f"{path}.{key}")
    else:
        yield path, value


class Here:
    """A view at one path of a rule over many."""

    def __init__(self, view: View, path: str, value: Any) -> None:
        self.here = (path, value)
        self.get, self.fact, self.table = view.get, view.fact, view.table


@lazy_op(lambda path, condition: f"every `{path}.*` where {describe(condition)}")
def leaves(path: str, condition: Any) -> Run:
    """The paths of all leaves below a path that meet the condition (over `here` and `here_path`)."""
    held = running(condition)

    def run(view: View) -> Any:
        found = view.get(path)
        return _chosen(view, walk(found, path) if found is not UNSET else (), held)

    return run


@lazy_op(lambda path, condition: f"every key of `{path}` where {describe(condition)}")
def children(path: str, condition: Any) -> Run:
    """The paths of the direct keys of a mapping that meet the condition."""
    held = running(condition)

    def run(view: View) -> Any:
        found = view.get(path)
        if isinstance(found, Unknown):
            return found
        items = found.items() if isinstance(found, Mapping) else ()
        return _chosen(view, [(f"{path}.{key}", item) for key, item in items], held)

    return run


def _chosen(view: View, items: Any, condition: Run) -> Any:
    chosen, maybe = [], []
    for path, value in items:
        held = condition(Here(view, path, value))
        if isinstance(held, Unknown):
            maybe.append(held)
        elif held:
            chosen.append(path)
    return merged_needs(maybe) if maybe and not chosen else chosen


@op("the keys of {0}")
def keys(value: Any) -> Any:
    """The keys of a mapping, in order; none of anything else."""
    return list(value) if isinstance(value, Mapping) else []


@op("the values of {0}")
def values(value: Any) -> Any:
    """The values of a mapping, in order; none of anything else. Unknown if one of them is."""
    found = list(value.values()) if isinstance(value, Mapping) else []
    unknown = [one for one in found if isinstance(one, Unknown)]
    return merged_needs(unknown) if unknown else found


@op("{1} of each of {0}")
def pluck(items: Any, key: str) -> Any:
    """`[item[key] ...]`, where it is there."""
    found = [item[key] for item in items if isinstance(item, Mapping) and key in item]
    unknown = [value for value in found if isinstance(value, Unknown)]
    return merged_needs(unknown) if unknown else found


@op("{0} without {1}")
def without(items: Sequence[Any], others: Sequence[Any]) -> Any:
    """The items that are not among the others, order kept."""
    return [item for item in items if item not in others]


@op("{0} that are among {1}")
def among(items: Sequence[Any], others: Any) -> Any:
    """The items that are among the others, order kept."""
    return [item for item in items if item in others]


@op("the number of {0}")
def count(items: Any) -> Any:
    """len(); 0 of what is missing."""
    return len(items) if items is not UNSET else 0


@op("the first of {0}")
def first(items: Any) -> Any:
    """The first item, or UNSET."""
    return items[0] if items else UNSET


@op("{1} of {0}")
def item(value: Any, key: Any) -> Any:
    """value[key], or UNSET."""
    try:
        return value[key]
    except (KeyError, IndexError, TypeError):
        return UNSET


@op("{0} has {1}")
def has(value: Any, key: Any) -> Any:
    """The key is in the mapping (or the item in the list)."""
    return isinstance(value, Mapping | list | tuple | str) and key in value


@op("{0} and then {1}")
def merged(a: Any, b: Any) -> Any:
    """Two mappings in one, the second winning."""
    return {**a, **b}


@lazy_op(lambda pairs: "a block of " + ", ".join(f"{k}: {describe(v)}" for k, v in pairs.items()))
def block(pairs: Mapping[str, Any]) -> Run:
    """A mapping of evaluated values; keys whose value is UNSET are left out."""
    runs = {key: running(value) for key, value in pairs.items()}

    def run(view: View) -> Any:
        values = {key: one(view) for key, one in runs.items()}
        return {key: value for key, value in values.items() if value is not UNSET}

    return run


@lazy_op(lambda *items: "[" + ", ".join(describe(i) for i in items) + "]")
def listed(*items: Any) -> Run:
    """A list of evaluated values."""
    runs = [running(entry) for entry in items]

    def run(view: View) -> Any:
        values = [one(view) for one in runs]
        unknown = [value for value in values if isinstance(value, Unknown)]
        return merged_needs(unknown) if unknown else values

    return run
