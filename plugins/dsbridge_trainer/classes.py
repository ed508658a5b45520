"""The classes that a script defines: its dataclasses of arguments, its datasets, its models."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any, NamedTuple

from dsbridge_trainer.flags import Option

_KINDS = {"str": "text", "int": "int", "float": "float", "bool": "bool", "dict": "dict"}


class Field(NamedTuple):
    """A field of a dataclass; `default` is absent if it has none or it cannot be read."""

    option: Option
    default: tuple[Any, ...] = ()
    given: bool = False  # it has a default, read or not


class Class(NamedTuple):
    """A class by its bases, fields, and the length its `__len__` returns."""

    name: str
    bases: tuple[str, ...]
    fields: tuple[Field, ...]
    length: int | None


def classes_of(text: str) -> dict[str, Class]:
    """The classes at the top of a script; none if it is not Python."""
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    found = {}
    for node in body:
        if isinstance(node, ast.ClassDef):
            bases = tuple(ast.unparse(base).rpartition(".")[2] for base in node.bases)
            found[node.name] = Class(node.name, bases, tuple(_fields(node)), _length(node))
    return found


def derives(name: str, root: str, classes: dict[str, Class], depth: int = 0) -> bool:
    """The class is `root`, or comes from it."""
    if name == root:
        return True
    found = classes.get(name)
    return found is not None and depth < 20 and any(derives(b, root, classes, depth + 1) for b in found.bases)


def inherited(name: str, classes: dict[str, Class], depth: int = 0) -> list[Field]:
    """The fields of a class of the script and of its bases in the script, bases first."""
    found = classes.get(name)
    if found is None or depth > 20:
        return []
    fields = {f.option.name: f for base in found.bases for f in inherited(base, classes, depth + 1)}
    fields |= {f.option.name: f for f in found.fields}
    return list(fields.values())


def _fields(node: ast.ClassDef) -> Iterator[Field]:
    for item in node.body:
        if not isinstance(item, ast.AnnAssign) or not isinstance(item.target, ast.Name):
            continue
        kind, nargs = _kind(item.annotation)
        default, given = _default(item.value)
        no = kind == "bool" and default == (True,)
        option = Option(item.target.id, kind, nargs, no=no, required=not given and kind != "bool")
        yield Field(option, default, given)


def _kind(annotation: ast.expr) -> tuple[str, str]:
    """Type and nargs as HfArgumentParser takes them from an annotation."""
    text = ast.unparse(annotation).strip("'\"")
    for start in ("typing.", "Optional["):
        text = text.replace(start, "")
    text = text.rstrip("]") if "[" not in text else text
    parts = [part.strip() for part in text.replace("None", "").split("|") if part.strip()]
    name = parts[0] if len(parts) == 1 else ("str" if "str" in parts else (parts[0] if parts else "str"))
    if name.lower().startswith("list["):
        return _KINDS.get(name[5:].rstrip("]"), "text"), "+"
    kind = _KINDS.get(name, "text")
    return kind, "?" if kind == "bool" else ""


def _default(value: ast.expr | None) -> tuple[tuple[Any, ...], bool]:
    """`= 5`, `= field(default=5)`, `= field(default_factory=list)`."""
    if value is None:
        return (), False
    if isinstance(value, ast.Call):
        for word in value.keywords:
            if word.arg == "default":
                return _literal(word.value), True
            if word.arg == "default_factory":
                name = ast.unparse(word.value)
                return (([],) if name == "list" else ({},) if name == "dict" else ()), True
        return (), False
    return _literal(value), True


def _literal(node: ast.expr) -> tuple[Any, ...]:
    try:
        return (ast.literal_eval(node),)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return ()


def _length(node: ast.ClassDef) -> int | None:
    """What `__len__` returns, if that is a number."""
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__len__" and len(item.body) == 1:
            last = item.body[0]
            if isinstance(last, ast.Return) and isinstance(last.value, ast.Constant):
                return last.value.value if isinstance(last.value.value, int) else None
    return None
