"""What an expression reads: paths, facts, and values that are derived of whole blocks.

A field of a block as its class makes it (`item(block_values(...), "stage")`) is read as one value: it stays
the same while the numbers beside it change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from dsbridge.language import _MISUSE, OPS, Expr, LanguageError, parts, paths_in
from dsbridge.values import Unknown

FACT = "<"  # before the name of a fact; no path begins so
DERIVED = "="  # before that of a derived value
_LOCAL = frozenset({"here", "here_path"})  # of the rule, or of the operation around that binds them
_BINDS = frozenset({"leaves", "children"})
_SMALL = frozenset({"block_problem", "keys", *_BINDS})  # say little of what they read


class _Undecided:
    """Neither JSON nor hashable: nothing is told apart by it."""


UNDECIDED = _Undecided()  # of a derived value that cannot be computed


class Derived(NamedTuple):
    """A value computed of trees. roots: the beginnings of the paths that it reads."""

    run: Callable[[Any], Any]
    roots: frozenset[str]


@lru_cache(maxsize=4096)
def root(path: str) -> str:
    """The tree and the block of a path: whatever is written elsewhere does not change it."""
    return ".".join(path.split(".", 2)[:2])


_DERIVED: dict[str, Derived] = {}
_AT: dict[str, list[str]] = {}  # their names, by root
_NAMES: dict[str, str] = {}  # by the expression in full
_READS: dict[
    int, tuple[Expr, frozenset[str] | None]
] = {}  # holds the expression, so that its id stays its own


def derived(name: str) -> Derived:
    """What the name stands for."""
    return _DERIVED[name]


def derived_at(path: str) -> list[str]:
    """Names of the derived values that a write at this path may change."""
    tree, dot, _ = path.partition(".")
    if dot:
        return [*_AT.get(tree, ()), *_AT.get(root(path), ())]
    return [name for one, names in _AT.items() if one.partition(".")[0] == tree for name in names]


def reads(expr: Any) -> frozenset[str] | None:
    """Names of everything that an expression reads; None if it depends on more than names say."""
    if isinstance(expr, Expr):
        known = _READS.get(id(expr))
        if known is None:
            known = _READS[id(expr)] = expr, _of(expr)
        return known[1]
    if isinstance(expr, Mapping):
        return _all(expr.values())
    return _all(expr) if isinstance(expr, list | tuple) else frozenset()


def _all(several: Any) -> frozenset[str] | None:
    found = [reads(one) for one in several]
    known = [one for one in found if one is not None]
    return frozenset().union(*known) if len(known) == len(found) else None


def _of(expr: Expr) -> frozenset[str] | None:
    if expr.op in _LOCAL:
        return None
    if expr.op == "get":
        path = str(expr.args[0])
        return frozenset((path,)) if "." in path else None  # a whole tree is the same in no two set-ups
    if expr.op == "fact":
        return frozenset((f"{FACT}{expr.args[0]}",))
    if _is_derived(expr):
        return frozenset((_name(expr),))
    return _all(expr.args)


def _is_derived(expr: Expr) -> bool:
    if expr.op == "item":
        whole, key = expr.args
        return (
            isinstance(whole, Expr) and isinstance(key, str) and whole.op != "table" and not _is_local(expr)
        )
    return expr.op in _SMALL and not _is_local(expr)


def _is_local(expr: Any) -> bool:
    if isinstance(expr, Expr):
        return expr.op in _LOCAL or (expr.op not in _BINDS and any(map(_is_local, expr.args)))
    if isinstance(expr, Mapping):
        return any(map(_is_local, expr.values()))
    return isinstance(expr, list | tuple) and any(map(_is_local, expr))


def _name(expr: Expr) -> str:
    """Of the derived value; equal expressions have one."""
    text = repr(expr)
    name = _NAMES.get(text)
    if name is None:
        name = _NAMES[text] = f"{DERIVED}{len(_NAMES)}"
        run = _field(expr) if expr.op == "item" else expr.run
        _DERIVED[name] = Derived(run, frozenset(map(root, _paths(expr))))
        for one in _DERIVED[name].roots:
            _AT.setdefault(one, []).append(name)
    return name


def _paths(expr: Expr) -> list[str]:
    named = [str(part.args[0]) for part in parts(expr) if part.op in _BINDS]
    return [*paths_in(expr), *named]


def _field(expr: Expr) -> Callable[[Any], Any]:
    """The block is made once for all its fields."""
    block, key = _name(expr.args[0]), expr.args[1]
    take = OPS["item"].run

    def run(view: Any) -> Any:
        value = view.derived(block)
        if value is UNDECIDED:
            raise LanguageError(key)
        if type(value) is Unknown:
            return value
        try:
            return take(value, key)
        except _MISUSE as error:
            raise LanguageError(f"{key}: {error}") from error

    return run
