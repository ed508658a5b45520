"""Expressions of a script: what they are worth without running anything."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dsbridge.formats.calls import Attribute, CallSite, Name, Unread, is_plain

_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
LARGEST = 10**12  # a power or repetition beyond it is not computed
MAX_BITS = 4096  # CPython refuses to print much larger numbers
MAX_TEXT = 100_000  # letters, or values of a list, that something computed may have
MAX_CALLS = 10_000
DEPTH = 40
_HALF = re.compile("[\ud800-\udfff]")  # half a character cannot be printed or written
# "%99999999d" % 1 has as many letters as it says
_WIDE = re.compile(r"%[^a-zA-Z%]*(\*|\d{4})")


class Expressions:
    """The names that a script has bound so far, the calls it has made, and what an expression is worth."""

    def __init__(self, text: str, environ: Mapping[str, str]) -> None:
        self.lines, self.environ = text.encode("utf-8", "replace").split(b"\n"), environ
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.functions: dict[str, ast.FunctionDef] = {}
        self.calls: list[CallSite] = []
        self.maybe = 0
        self.depth = 0

    def run(self, body: Sequence[ast.stmt]) -> None:
        """Statements, followed by the subclass."""
        raise NotImplementedError

    def value(self, node: ast.expr) -> Any:
        """A literal, a CallSite, a Name, an Attribute or an Unread."""
        kind = type(node).__name__
        method = getattr(self, f"_{kind.lower()}", None)
        return method(node) if method else self._visit_inside(node)

    def _unread(self, node: ast.AST) -> Unread:
        code = self._source(node) or ast.unparse(node)
        return Unread(" ".join(code.split())[:120], getattr(node, "lineno", 0))

    def _source(self, node: ast.AST) -> str:
        """The text of a node; ast.get_source_segment would split the whole script each time."""
        first, last = getattr(node, "lineno", 0), getattr(node, "end_lineno", 0)
        if not first or not last or last > len(self.lines):
            return ""
        lines = self.lines[first - 1 : last]
        lines[-1] = lines[-1][: getattr(node, "end_col_offset", None)]
        lines[0] = lines[0][getattr(node, "col_offset", 0) :]
        return b"\n".join(lines).decode("utf-8", "replace")

    def _visit_inside(self, node: ast.AST) -> Unread:
        """An expression that is not followed; the calls in it still happen."""
        self.maybe += 1
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.value(child)
        self.maybe -= 1
        return self._unread(node)

    def _constant(self, node: ast.Constant) -> Any:
        plain = node.value is None or isinstance(node.value, bool | int | float | str)
        huge = isinstance(node.value, int) and node.value.bit_length() > MAX_BITS
        half = isinstance(node.value, str) and _HALF.search(node.value)
        return self._unread(node) if huge or half or not plain else node.value

    def _name(self, node: ast.Name) -> Any:
        return self.names.get(node.id, Name(node.id))

    def _attribute(self, node: ast.Attribute) -> Any:
        if isinstance(node.value, ast.Name) and f"{node.value.id}.{node.attr}" in self.names:
            return self.names[f"{node.value.id}.{node.attr}"]
        base = self.value(node.value)
        if isinstance(base, Name):
            return Name(f"{base.name}.{node.attr}")
        return Attribute(base, node.attr) if isinstance(base, CallSite) else self._unread(node)

    def _list(self, node: ast.List) -> Any:
        if any(isinstance(item, ast.Starred) for item in node.elts):
            return self._visit_inside(node)
        return self._bounded([self.value(item) for item in node.elts], node)

    def _tuple(self, node: ast.Tuple) -> Any:
        if any(isinstance(item, ast.Starred) for item in node.elts):
            return self._visit_inside(node)
        return self._bounded(tuple(self.value(item) for item in node.elts), node)

    def _dict(self, node: ast.Dict) -> Any:
        found: dict[Any, Any] = {}
        for key, item in zip(node.keys, node.values, strict=True):
            value = self.value(item)
            if key is None:
                if not isinstance(value, dict):
                    return self._unread(node)
                found |= value
                continue
            name = self.value(key)
            if not isinstance(name, str | int | float | bool):
                return self._unread(node)
            found[name] = value
        return self._bounded(found, node)

    def _bounded(self, value: Any, node: ast.AST) -> Any:
        """The value, unless lists of lists of themselves have made it huge."""
        return value if _values_in(value, MAX_TEXT) else self._unread(node)

    def _joinedstr(self, node: ast.JoinedStr) -> Any:
        text = ""
        for part in node.values:
            value = self.value(part.value if isinstance(part, ast.FormattedValue) else part)
            formatted = isinstance(part, ast.FormattedValue) and (part.format_spec or part.conversion != -1)
            if formatted or not isinstance(value, str | int | float | bool):
                return self._unread(node)
            text += str(value)
            if len(text) > MAX_TEXT:
                return self._unread(node)
        return text

    def _unaryop(self, node: ast.UnaryOp) -> Any:
        return self._calculated(node, node.op, self.value(node.operand))

    def _binop(self, node: ast.BinOp) -> Any:
        return self._calculated(node, node.op, self.value(node.left), self.value(node.right))

    def _compare(self, node: ast.Compare) -> Any:
        values = [self.value(node.left), *(self.value(item) for item in node.comparators)]
        return self._calculated(node, node.ops[0], *values) if len(values) == 2 else self._unread(node)

    def _calculated(self, node: ast.expr, sign: ast.AST, *values: Any) -> Any:
        do = _OPERATORS.get(type(sign))
        if isinstance(sign, ast.Add) and all(isinstance(v, list) for v in values):
            return self._bounded([item for row in values for item in row], node)  # whatever they hold
        scalars = all(isinstance(v, str | int | float | bool | list) and is_plain(v) for v in values)
        large = any(isinstance(v, int | float) and abs(v) > LARGEST for v in values)
        huge = isinstance(sign, ast.Pow) and any(
            isinstance(v, int | float) and abs(v) > 64 for v in values[1:]
        )
        repeated = isinstance(sign, ast.Mult) and any(isinstance(v, str | list) for v in values)
        wide = isinstance(values[0], str) and isinstance(sign, ast.Mod) and _WIDE.search(values[0])
        if do is None or not scalars or large or huge or wide or (repeated and not _short(values)):
            return self._unread(node)
        try:
            return self._bounded(do(*values), node)
        except (TypeError, ValueError, ArithmeticError):
            return self._unread(node)

    def _ifexp(self, node: ast.IfExp) -> Any:
        test = self.value(node.test)
        if is_plain(test):
            return self.value(node.body if test else node.orelse)
        return self._visit_inside(node)

    def _boolop(self, node: ast.BoolOp) -> Any:
        values = [self.value(item) for item in node.values]
        if not all(is_plain(value) for value in values):
            return self._unread(node)
        stops = isinstance(node.op, ast.Or)
        return next((value for value in values if bool(value) is stops), values[-1])

    def _subscript(self, node: ast.Subscript) -> Any:
        base, key = self.value(node.value), self.value(node.slice)
        if isinstance(base, Name) and base.name == "os.environ" and isinstance(key, str):
            return self.environ.get(key, self._unread(node))
        try:
            return base[key] if isinstance(base, dict | list) and is_plain(key) else self._unread(node)
        except (KeyError, IndexError, TypeError):
            return self._unread(node)

    def _call(self, node: ast.Call) -> Any:
        function = node.func
        if isinstance(function, ast.Attribute):
            owner = self.value(function.value)
            name = f"{owner.name}.{function.attr}" if isinstance(owner, Name) else function.attr
        else:
            found = self.value(function)
            owner, name = None, found.name if isinstance(found, Name) else ast.unparse(function)
        args, keywords, places, more = self._arguments(node)
        done = None if more else self._builtin(node, owner, name, args, keywords)
        if done is not None:
            return done[0]
        call = CallSite(
            len(self.calls), name, tuple(args), keywords, node.lineno,
            None if isinstance(owner, Name) else owner, more, self.maybe > 0, places,
        )  # fmt: skip
        if len(self.calls) >= MAX_CALLS:
            raise RecursionError
        self.calls.append(call)
        if name in self.functions and not isinstance(owner, CallSite):
            return self._enter(self.functions[name], call)
        return call

    def _arguments(self, node: ast.Call) -> tuple[list[Any], dict[str, Any], dict[str | int, int], bool]:
        args: list[Any] = []
        keywords: dict[str, Any] = {}
        places: dict[str | int, int] = {}
        more = False
        for item in node.args:
            if isinstance(item, ast.Starred):
                value = self.value(item.value)
                more = more or not isinstance(value, list | tuple)
                args += value if isinstance(value, list | tuple) else ()
            else:
                places[len(args)] = item.lineno
                args.append(_kept(self.value(item)))
        for word in node.keywords:
            value = _kept(self.value(word.value))
            if word.arg is not None:
                keywords[word.arg] = value
                places[word.arg] = word.value.lineno
            elif isinstance(value, dict) and all(isinstance(key, str) for key in value):
                keywords |= value
                places |= dict.fromkeys(value, word.value.lineno)
            else:
                more = True
        return args, keywords, places, more

    def _builtin(
        self, node: ast.Call, owner: Any, name: str, args: list[Any], keywords: dict[str, Any]
    ) -> tuple[Any] | None:
        """Calls that are computed here: dict(), int(), os.environ.get() of a known variable, d.update()."""
        if name == "dict" and all(isinstance(arg, dict) for arg in args[:1]) and len(args) < 2:
            return ({**(args[0] if args else {}), **keywords},)
        if name in ("int", "float", "str") and len(args) == 1 and is_plain(args[0]):
            try:
                return ({"int": int, "float": float, "str": str}[name](args[0]),)
            except (TypeError, ValueError, ArithmeticError):
                return (self._unread(node),)
        if name in ("os.environ.get", "os.getenv") and args and args[0] in self.environ:
            return (self.environ[args[0]],)
        if isinstance(owner, dict):
            plain = len(args) < 2 and all(isinstance(arg, dict) for arg in args)
            if name == "update" and plain and not self.maybe:
                owner.update({**(args[0] if args else {}), **keywords})
                return (None,)
            if name == "get" and args and is_plain(args[0]):
                return (owner.get(args[0], args[1] if len(args) > 1 else None),)
            if name in ("update", "pop", "setdefault", "clear"):
                owner.update(dict.fromkeys(owner, self._unread(node)))
                return (self._unread(node),)
        return None

    def _enter(self, function: ast.FunctionDef, call: CallSite) -> Any:
        """Follow a call of the script's own function, its parameters known as far as the call says."""
        if self.depth >= DEPTH:
            raise RecursionError
        outer, self.names = self.names, {**self.names, "return": None}
        parameters = [arg.arg for arg in (*function.args.posonlyargs, *function.args.args)]
        defaults = function.args.defaults
        for name in (*parameters, *(arg.arg for arg in function.args.kwonlyargs)):
            self.names[name] = self._unread(function)
        for name, default in zip(parameters[len(parameters) - len(defaults) :], defaults, strict=True):
            self.names[name] = self.value(default)
        self.names |= dict(zip(parameters, call.args, strict=False))
        self.names |= call.keywords
        self.depth += 1
        self.run(function.body)
        self.depth -= 1
        result = self.names["return"]
        self.names = outer
        return result


def _values_in(value: Any, left: int) -> int:
    """`left` less the values (or letters) in it; 0 once there are more."""
    left -= len(value) if isinstance(value, str) else 1
    if isinstance(value, dict):
        value = list(value.values())
    if type(value) in (list, tuple):
        for item in value:
            if left <= 0:
                break
            left = _values_in(item, left)
    return max(left, 0)


def _short(values: Sequence[Any]) -> bool:
    """A repetition that stays small: [row] * 64."""
    sizes = [len(v) for v in values if isinstance(v, str | list)]
    counts = [v for v in values if isinstance(v, int)]
    return all(size * max(counts, default=0) <= MAX_TEXT for size in sizes)


def _kept(value: Any) -> Any:
    """A dict as it is at the call: later changes of the variable do not reach what was passed.

    (They would reach a library that keeps the dict; the frameworks here copy it.)
    """
    if isinstance(value, dict):
        return {key: _kept(item) for key, item in value.items()}
    return [_kept(item) for item in value] if isinstance(value, list) else value
