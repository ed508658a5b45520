"""The small closed language of rules: conditions and values as data, to be run, printed and compared.

An expression is `Expr(op, args)`. Every operation is a function registered in this package with `op` or
`lazy_op`, together with the words that describe it. Paths are dotted, the first word naming a tree:
`ds` (the DeepSpeed config), `engine` (what DeepSpeed makes of it), `args`, `env`, `launch`, ... A path
that is not there gives UNSET. A value nobody can know yet is Unknown, and makes everything computed from
it Unknown too, except where the rest decides (`any_of` with something true, `all_of` with something
false).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, Protocol, TypeAlias

from dsbridge.values import Unknown


class _Expr(NamedTuple):
    op: str
    args: tuple[Any, ...] = ()


class Expr(_Expr):
    """An operation and its arguments: constants or expressions."""

    def __str__(self) -> str:
        return describe(self)

    @cached_property
    def run(self) -> Run:
        """The expression as a function of the view, made when it is first asked."""
        operation = OPS[self.op]
        return operation.run(*self.args) if operation.lazy else _strict(self.op, operation.run, self.args)


class View(Protocol):
    """What an expression can see: a snapshot of the trees, the facts, the tables of the versions."""

    here: tuple[str, Any]  # in a rule over many paths: the path and its value

    def get(self, path: str) -> Any:
        """The value at a dotted path: UNSET if absent, Unknown if it cannot be read."""

    def fact(self, name: str) -> Any:
        """A fact, or Unknown({name})."""

    def table(self, name: str) -> Any:
        """A data table for the versions at hand."""


Run: TypeAlias = Callable[[View], Any]


class Op(NamedTuple):
    """One operation. `words` is a template over the described arguments, or a function of them.

    run: of a strict one, its values to its value; of a lazy one, its arguments to a function of the view.
    """

    run: Callable[..., Any]
    words: str | Callable[..., str]
    lazy: bool


OPS: dict[str, Op] = {}


class LanguageError(Exception):
    """A rule uses an operation on values it is not made for. A bug in the rule, never in the input."""


def op(words: str | Callable[..., str]) -> Callable[[Callable[..., Any]], Callable[..., Expr]]:
    """Register a strict operation: it gets values, and is Unknown as soon as one of them is."""
    return _registering(words, lazy=False)


def lazy_op(words: str | Callable[..., str]) -> Callable[[Callable[..., Any]], Callable[..., Expr]]:
    """Register an operation that gets its arguments unevaluated and gives a function of the view."""
    return _registering(words, lazy=True)


def _registering(
    words: str | Callable[..., str], *, lazy: bool
) -> Callable[[Callable[..., Any]], Callable[..., Expr]]:
    def register(function: Callable[..., Any]) -> Callable[..., Expr]:
        name = function.__name__
        assert name not in OPS, f"operation {name} exists"
        OPS[name] = Op(function, words, lazy)

        def build(*args: Any) -> Expr:
            return Expr(name, args)

        build.__name__, build.__doc__ = name, function.__doc__
        return build

    return register


def evaluate(expr: Any, view: View) -> Any:
    """The value of an expression; a constant is its own value.

    Raises:
        LanguageError: an operation met values it is not made for.
    """
    return expr.run(view) if isinstance(expr, Expr) else expr


def running(expr: Any) -> Run:
    """The function of the view that gives an expression's value, or the constant."""
    return expr.run if isinstance(expr, Expr) else lambda _: expr


def _strict(name: str, function: Callable[..., Any], args: tuple[Any, ...]) -> Run:
    """Values in, a value out; Unknown as soon as one of them is."""
    if args and isinstance(args[0], Expr) and not any(isinstance(arg, Expr) for arg in args[1:]):
        return _of_one(name, function, args[0].run, args[1:])
    runs = [running(arg) for arg in args]

    def run(view: View) -> Any:
        values = [one(view) for one in runs]
        needs = [value.needs for value in values if type(value) is Unknown]
        if needs:
            return Unknown(frozenset().union(*needs))
        try:
            return function(*values)
        except _MISUSE as error:
            raise _misused(name, values, error) from error

    return run


def _of_one(name: str, function: Callable[..., Any], first: Run, rest: tuple[Any, ...]) -> Run:
    """Most operations ask one value something: the shortest way for those."""

    def run(view: View) -> Any:
        value = first(view)
        if type(value) is Unknown:
            return value
        try:
            return function(value, *rest)
        except _MISUSE as error:
            raise _misused(name, (value, *rest), error) from error

    return run


_MISUSE = (TypeError, ValueError, ArithmeticError, AttributeError, LookupError)


def _misused(name: str, values: Sequence[Any], error: Exception) -> LanguageError:
    return LanguageError(f"{name}{tuple(values)}: {type(error).__name__}: {error}")


def describe(expr: Any) -> str:
    """The expression in English, with paths in code font."""
    if not isinstance(expr, Expr):
        return f"`{_plain(expr)}`"
    words = OPS[expr.op].words
    if callable(words):
        return words(*expr.args)
    parts = [describe(arg) for arg in expr.args]
    return words.format(*parts, all=", ".join(parts), raw=expr.args)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_plain(item)}" for key, item in value.items()) or "{}"
    return "null" if value is None else str(value)


def parts(expr: Any) -> list[Expr]:
    """The expression and all inside it."""
    found: list[Expr] = []
    waiting = [expr]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Expr):
            found.append(item)
            waiting += item.args
        elif isinstance(item, list | tuple):
            waiting += item
        elif isinstance(item, Mapping):
            waiting += item.values()
    return found


def paths_in(expr: Any) -> list[str]:
    """Every path that the expression reads."""
    return [str(part.args[0]) for part in parts(expr) if part.op == "get"]


def facts_in(expr: Any) -> list[str]:
    """Every fact that the expression reads."""
    return [str(part.args[0]) for part in parts(expr) if part.op == "fact"]
