"""The calls of a Python script, read from its syntax tree. Nothing is executed or imported.

Straight-line code over literals is followed: assignments, arithmetic, `dict(...)`, changes of a known
dict, a `main()` that is called, `if __name__ == "__main__"`. What depends on anything else (an argument,
the environment, a loop) is an Unread.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from dsbridge.diagnostics import InputError
from dsbridge.formats.calls import CallSite, Name, Script, is_plain, merging
from dsbridge.formats.document import SYNTAX
from dsbridge.formats.script_values import Expressions
from dsbridge.provenance import Source


def read_script(
    text: str, file: str = "<script>", environ: Mapping[str, str] | None = None, *, inherited: int = 0
) -> Script:
    """Read a script.

    environ: variables that are known; `os.environ["X"]` of another one is Unread. inherited: lines at the
    start that come from configs it inherits from, whose dicts are merged by update().

    Raises:
        InputError: not Python, or nested too deep.
    """
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        at = Source(file, error.lineno, error.offset)
        raise InputError([SYNTAX(f"not valid Python: {error.msg}", at=at)]) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise InputError([SYNTAX(f"cannot be parsed: {error}", at=Source(file))]) from None
    reader = _Statements(text, environ or {})
    try:
        count = sum(node.lineno <= inherited for node in tree.body)
        reader.run(tree.body[:count])
        if inherited:
            reader.names = {name: merging(value) for name, value in reader.names.items()}
        reader.run(tree.body[count:])
    except (RecursionError, MemoryError):
        raise InputError([SYNTAX("nested too deep to be read", at=Source(file))]) from None
    return Script(file, tuple(reader.calls), reader.names)


class _Statements(Expressions):
    """Runs the statements that a plain script is made of."""

    def run(self, body: Sequence[ast.stmt]) -> None:
        for statement in body:
            self._statement(statement)

    def _statement(self, node: ast.stmt) -> None:
        if isinstance(node, ast.Assign):
            value = self.value(node.value)
            for target in node.targets:
                self._assign(target, value)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            self._assign(node.target, self.value(node.value))
        elif isinstance(node, ast.AugAssign):
            together = ast.copy_location(ast.BinOp(_load(node.target), node.op, node.value), node)
            self._assign(node.target, self.value(together))
        elif isinstance(node, ast.Expr):
            self.value(node.value)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            self._import(node)
        elif isinstance(node, ast.FunctionDef):
            self.functions[node.name] = node
            self.names[node.name] = Name(node.name)
        elif isinstance(node, ast.ClassDef | ast.AsyncFunctionDef):
            self.names[node.name] = Name(node.name)
        elif isinstance(node, ast.If):
            self._if(node)
        elif isinstance(node, ast.With):
            for item in node.items:
                found = self.value(item.context_expr)
                if item.optional_vars is not None:
                    self._assign(item.optional_vars, found)
            self.run(node.body)
        elif isinstance(node, ast.Return):
            if node.value is not None:
                self.names["return"] = self.value(node.value)
        elif isinstance(node, ast.Try):
            self.run(node.body)
            for handler in node.handlers:
                self._perhaps(handler.body)
            self.run([*node.orelse, *node.finalbody])
        elif isinstance(node, ast.For | ast.While):
            self._loop(node)
        elif isinstance(node, ast.Delete):
            for target in node.targets:
                self._assign(target, self._unread(target))

    def _if(self, node: ast.If) -> None:
        test = self.value(node.test)
        if is_plain(test):
            self.run(node.body if test else node.orelse)
        else:
            self._perhaps(node.body)
            self._perhaps(node.orelse)

    def _loop(self, node: ast.For | ast.While) -> None:
        if isinstance(node, ast.For):
            self.value(node.iter)
            self._assign(node.target, self._unread(node.iter))
        self._perhaps(node.body)
        self._perhaps(node.orelse)

    def _perhaps(self, body: Sequence[ast.stmt]) -> None:
        """Code that may or may not run: its calls are noted, and what it assigns is not known."""
        if not body:
            return
        before = dict(self.names)
        self.maybe += 1
        self.run(body)
        self.maybe -= 1
        for name, value in self.names.items():
            if name not in before or before[name] is not value:
                same = name in before and is_plain(value) and before[name] == value
                self.names[name] = value if same or isinstance(value, Name) else self._unread(body[0])

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            if isinstance(node, ast.ImportFrom):
                self.names[alias.asname or alias.name] = Name(f"{node.module or ''}.{alias.name}".strip("."))
            elif alias.asname:
                self.names[alias.asname] = Name(alias.name)
            else:
                top = alias.name.split(".")[0]
                self.names[top] = Name(top)

    def _assign(self, target: ast.expr, value: Any) -> None:
        if isinstance(target, ast.Name):
            self.names[target.id] = value
        elif isinstance(target, ast.Tuple | ast.List):
            known = isinstance(value, list | tuple) and len(value) == len(target.elts)
            for index, part in enumerate(target.elts):
                self._assign(part, value[index] if known else self._part(value, target))
        elif isinstance(target, ast.Starred):
            self._assign(target.value, self._unread(target))
        elif isinstance(target, ast.Subscript):
            self._assign_item(target, value)
        elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
            self.names[f"{target.value.id}.{target.attr}"] = value

    def _part(self, value: Any, target: ast.expr) -> Any:
        """One of the results of a call: `args, = parser.parse_args_into_dataclasses()`."""
        return value if isinstance(value, CallSite) else self._unread(target)

    def _assign_item(self, target: ast.Subscript, value: Any) -> None:
        base, key = self.value(target.value), self.value(target.slice)
        if _holds(value, base):
            value = self._unread(target)  # endless
        if isinstance(base, dict) and isinstance(key, str | int) and not self.maybe:
            base[key] = value
        elif isinstance(base, dict) and isinstance(key, str | int):
            base[key] = self._unread(target)
        elif isinstance(base, dict):
            for old in base:
                base[old] = self._unread(target)


def _holds(value: Any, base: Any) -> bool:
    """Whether a value has `base` itself in it."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return value is base or any(_holds(item, base) for item in inner)


def _load(node: ast.expr) -> ast.expr:
    """An assignment's target, to be read."""
    return ast.parse(ast.unparse(node), mode="eval").body
