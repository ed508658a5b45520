"""Which rules of a program can act at all, by the paths that are there.

Most conditions are false as soon as one path is missing. Hundreds of rules hold for a framework and few of
their paths are in any one config, so the others are not even asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from dsbridge.language import Expr, parts, paths_in
from dsbridge.questions import Moment, Question, View, asked
from dsbridge.rules import OverrideRule
from dsbridge.trees import split
from dsbridge.values import UNSET, Unknown

# paths of which one must be there; None: the condition may hold whatever is there
Paths = frozenset[str] | None
# operations that are false of UNSET, with whatever else they get
_FALSE_OF_NOTHING = frozenset({"is_set", "is_auto", "is_a", "truthy", "has", "all_digits"})


def wanted(condition: Any) -> Paths:
    """Paths without any of which a condition is surely false."""
    found = _wanted(condition)
    return _all_it_reads(condition) if found is None else found


_KNOWN: dict[int, tuple[Any, Paths]] = {}  # by condition, which is held: its id stays its own


def _wanted_by(rule: OverrideRule) -> Paths:
    """Of a condition that most programs have."""
    found = _KNOWN.get(id(rule.when))
    if found is None:
        found = _KNOWN[id(rule.when)] = rule.when, wanted(rule.when)
    return found[1]


MOST_MOMENTS = 1024
_OUTSIDE = ("fact", "table", "here", "here_path")  # what else an answer may depend on
_EMPTY = View({}, {}, {})


def _all_it_reads(condition: Any) -> Paths:
    """Every path of a condition that is false where none of them is there: `zero.stage, else 0, is 3`."""
    if any(part.op in _OUTSIDE for part in parts(condition)) or asked(condition, _EMPTY, "") is not False:
        return None
    return frozenset(paths_in(condition))


def _wanted(condition: Any) -> Paths:
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
    found = [paths for part in conditions if (paths := _wanted(part)) is not None]
    return min(found, key=_likely, default=None)


def _likely(paths: frozenset[str]) -> tuple[int, int]:
    return len(paths), -min((path.count(".") for path in paths), default=0)


def _any_of(conditions: Sequence[Any]) -> Paths:
    found = [_wanted(part) for part in conditions]
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


class _Node:
    """One part of a path: who waits for the path, and the parts below it."""

    __slots__ = ("below", "waiting")

    def __init__(self) -> None:
        self.waiting: list[tuple[str, int]] = []
        self.below: dict[str, _Node] = {}

    def every(self) -> Iterator[_Node]:
        """It and all below it."""
        yield self
        for node in self.below.values():
            yield from node.every()


class Index:
    """Rules by the paths that they want."""

    def __init__(self, rules: Mapping[str, Sequence[OverrideRule]]) -> None:
        self.questions = {moment: [Question(rule) for rule in several] for moment, several in rules.items()}
        self.always: dict[str, tuple[int, ...]] = {}
        self.root = _Node()
        self.moments: dict[tuple[str, frozenset[int]], Moment] = {}
        for moment, several in rules.items():
            free = []
            for number, rule in enumerate(several):
                paths = _wanted_by(rule)
                if paths is None:
                    free.append(number)
                for path in paths or ():
                    self.wait(path, moment, number)
            self.always[moment] = tuple(free)

    def wait(self, path: str, moment: str, number: int) -> None:
        """Note that a rule waits for a path."""
        node = self.root
        for part in split(path):
            node = node.below.setdefault(part, _Node())
        node.waiting.append((moment, number))

    def together(self, moment: str, more: frozenset[int]) -> Moment:
        """The questions of a moment with these rules beside those that are always asked."""
        found = self.moments.get((moment, more))
        if found is None:
            every = self.questions[moment]
            found = Moment([every[number] for number in sorted(more.union(self.always.get(moment, ())))])
            if len(self.moments) < MOST_MOMENTS:
                self.moments[moment, more] = found
        return found

    def able(self, trees: Mapping[str, Any]) -> Able:
        """Those that can act on these trees."""
        return Able(self, trees)


class Able:
    """The rules that can act on the trees as they are, or could on what they were before."""

    def __init__(self, index: Index, trees: Mapping[str, Any]) -> None:
        self.index = index
        self.numbers: dict[str, set[int]] = {}
        self._inside(index.root, trees)

    def of(self, moment: str) -> Moment | None:
        """The conditions of a moment's rules, in their order; None for no rule."""
        more = self.numbers.get(moment)
        if not more and not self.index.always.get(moment):
            return None
        return self.index.together(moment, frozenset(more or ()))

    def add(self, path: str, value: Any) -> None:
        """Something is at a path now: it, all inside it, and what is around it."""
        node = self.index.root
        for part in split(path):
            inner = node.below.get(part)
            if inner is None:
                return  # nobody waits for it
            node = inner
            self._there(node)
        self._inside(node, value)

    def _inside(self, node: _Node, value: Any) -> None:
        below, kind = node.below, type(value)
        if kind is dict:
            for name in below.keys() & value.keys():
                self._met(below[name], value[name])
        elif kind is Unknown:
            for inner in below.values():
                for one in inner.every():
                    self._there(one)
        elif isinstance(value, Mapping):
            self._inside(node, dict(value))
        elif kind is list or kind is tuple:
            for name, inner in below.items():
                if name.isdigit() and int(name) < len(value):
                    self._met(inner, value[int(name)])

    def _met(self, node: _Node, value: Any) -> None:
        self._there(node)
        if node.below:
            self._inside(node, value)

    def _there(self, node: _Node) -> None:
        for moment, number in node.waiting:
            self.numbers.setdefault(moment, set()).add(number)
