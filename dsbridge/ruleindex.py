"""Which rules of a program can act at all, by the paths that are there.

Most conditions are false as soon as one path is missing. Hundreds of rules hold for a framework and few of
their paths are in any one config, so the others are not even asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dsbridge.language import Expr
from dsbridge.rules import OverrideRule
from dsbridge.values import UNSET, Unknown

# paths of which one must be there; None: the condition may hold whatever is there
Paths = frozenset[str] | None
# operations that are false of UNSET, with whatever else they get
_FALSE_OF_NOTHING = frozenset({"is_set", "is_auto", "is_a", "truthy", "has", "all_digits"})


def wanted(condition: Any) -> Paths:
    """Paths without any of which a condition is surely false."""
    if not isinstance(condition, Expr):
        return None
    find = _FINDERS.get(condition.op)
    if find:
        return find(condition.args)
    if condition.op in _FALSE_OF_NOTHING:
        return _behind(condition.args[0])
    return None


def _all_of(conditions: Sequence[Any]) -> Paths:
    """One part that is false is enough: the one that asks for the least and the deepest."""
    found = [paths for part in conditions if (paths := wanted(part)) is not None]
    return min(found, key=_likely, default=None)


def _likely(paths: frozenset[str]) -> tuple[int, int]:
    return len(paths), -min((path.count(".") for path in paths), default=0)


def _any_of(conditions: Sequence[Any]) -> Paths:
    found = [wanted(part) for part in conditions]
    return frozenset().union(*(f for f in found if f is not None)) if None not in found else None


def _equal(args: Sequence[Any]) -> Paths:
    """Of a path and a constant."""
    for one, other in (args, args[::-1]):
        if not isinstance(other, Expr) and other is not UNSET:
            return _behind(one)
    return None


def _one_of(args: Sequence[Any]) -> Paths:
    options = args[1]
    named = not isinstance(options, Expr) and UNSET not in options
    return _behind(args[0]) if named else None


_FINDERS: dict[str, Callable[[Sequence[Any]], Paths]] = {
    "all_of": _all_of,
    "any_of": _any_of,
    "eq": _equal,
    "same": _equal,
    "one_of": _one_of,
}


def _behind(value: Any) -> Paths:
    """Paths without any of which a value is UNSET."""
    if not isinstance(value, Expr):
        return None
    if value.op == "get":
        return frozenset(value.args[:1])
    if value.op == "first_set":
        found = [_behind(option) for option in value.args]
        return frozenset().union(*(f for f in found if f is not None)) if None not in found else None
    return None


class Index:
    """Rules by the paths that they want."""

    def __init__(self, rules: Mapping[str, Sequence[OverrideRule]]) -> None:
        self.rules = rules
        self.always: dict[str, tuple[int, ...]] = {}
        self.by_path: dict[str, list[tuple[str, int]]] = {}
        for moment, several in rules.items():
            free = []
            for number, rule in enumerate(several):
                paths = wanted(rule.when)
                if paths is None:
                    free.append(number)
                for path in paths or ():
                    self.by_path.setdefault(path, []).append((moment, number))
            self.always[moment] = tuple(free)
        self._below: dict[str, tuple[str, ...]] = {}

    def able(self, trees: Mapping[str, Any]) -> Able:
        """Those that can act on these trees."""
        found = Able(self)
        for name, tree in trees.items():
            found.add(name, tree)
        return found

    def below(self, path: str) -> tuple[str, ...]:
        """The paths that somebody wants inside a path: all are there where it is Unknown."""
        if path not in self._below:
            self._below[path] = tuple(p for p in self.by_path if p.startswith(f"{path}."))
        return self._below[path]


class Able:
    """The rules that can act on the trees as they are, and on what they were before."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self.numbers: dict[str, set[int]] = {}
        self.known: set[str] = set()

    def of(self, moment: str) -> Sequence[OverrideRule]:
        """A moment's rules, in their order."""
        rules = self.index.rules.get(moment, ())
        always, more = self.index.always.get(moment, ()), self.numbers.get(moment)
        return [rules[number] for number in (sorted(more.union(always)) if more else always)]

    def add(self, path: str, value: Any) -> None:
        """Something is at a path: it, all inside it, and what is around it."""
        while "." in path:
            path, _, name = path.rpartition(".")
            value = {name: value}
            self._there(path)
        self._inside(path, value)

    def _inside(self, path: str, value: Any) -> None:
        self._there(path)
        kind = type(value)
        if kind is dict:
            for key, item in value.items():
                self._inside(f"{path}.{key}", item)
        elif kind is Unknown:
            for below in self.index.below(path):
                self._there(below)
        elif kind is list or kind is tuple:
            for number, item in enumerate(value):
                self._inside(f"{path}.{number}", item)
        elif isinstance(value, Mapping):
            self._inside(path, dict(value))

    def _there(self, path: str) -> None:
        if path in self.known:
            return
        self.known.add(path)
        for moment, number in self.index.by_path.get(path, ()):
            self.numbers.setdefault(moment, set()).add(number)
