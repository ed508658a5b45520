"""An XTuner config as a tree: its variables, read from the syntax tree. Nothing is executed.

mmengine runs a config as Python, with imports that stay names until they are used; `with read_base():`
puts other configs' variables in front. What depends on anything but literals is Unknown.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from dsbridge.rulebook import Files, Name, read_script, unread
from dsbridge.sdk import Source
from dsbridge_xtuner.merging import Refused, merge
from dsbridge_xtuner.training import shipped_config

# (A line of) `with read_base():` and the imports in it.
_BASE = re.compile(r"^with read_base\(\):[^\n]*\n((?:[ \t]+[^\n]*\n|\s*\n)*)", re.MULTILINE)
_FROM = re.compile(r"from\s+(\.*)([\w.]*)\s+import\s")
_SHIPPED = "xtuner.configs."
MAX_BASES = 20
_BASES = "_base_"


class Config(NamedTuple):
    """The variables as a tree, the place of every value that is written out, how running it would end."""

    tree: dict[str, Any]
    sources: dict[str, Source]
    problem: dict[str, Any] | None = None


class _Text(NamedTuple):
    """A text put together from several files: for each part its first line there, and its file."""

    text: str
    parts: tuple[tuple[int, str], ...]

    def source(self, line: int, column: int) -> Source:
        """Where a line of the whole stands."""
        first, file = next((part for part in reversed(self.parts) if part[0] <= line), (1, ""))
        return Source(file, line - first + 1, column)


def read_config(files: Files, path: str, environ: Mapping[str, str], seen: list[str] | None = None) -> Config:
    """Read a config and those it inherits from. seen: the configs that were read before this one.

    Raises:
        InputError: not Python, or a base that cannot be read.
    """
    whole = _joined(files, path, [])
    module = ast.parse(whole.text)
    lazy = is_lazy(module)
    inherited = whole.parts[-1][0] - 1
    script = read_script(whole.text, path, {} if lazy else environ, inherited=inherited)
    nodes = _assigned(module)
    tree = {name: _value(script.names[name], f"cfg.{name}") for name in nodes if name in script.names}
    sources: dict[str, Source] = {}
    for name, node in nodes.items():
        for found, place in _places(node, f"cfg.{name}", nodes, 0):
            sources[found] = whole.source(place.lineno, place.col_offset + 1)
    own = Config(tree, sources, used_name(module) if lazy else None)
    if lazy or _BASES not in tree:
        return own
    return _on_bases(files, path, environ, [path] if seen is None else seen, own)


def _on_bases(files: Files, path: str, environ: Mapping[str, str], seen: list[str], own: Config) -> Config:
    """`_base_ = [...]`, of a config without imports: it is merged into those (config/config.py:960)."""
    said = own.tree.pop(_BASES)
    tree: dict[str, Any] = {}
    sources: dict[str, Source] = {}
    for name in [said] if isinstance(said, str) else said if isinstance(said, list | tuple) else []:
        base = str(PurePosixPath(path).parent / name) if isinstance(name, str) else ""
        if base in seen or len(seen) > MAX_BASES or not base.endswith(".py") or not files.has(base):
            continue
        seen.append(base)
        inner = read_config(files, base, environ, seen)
        tree |= inner.tree
        sources |= inner.sources
    try:
        return Config(merge(own.tree, tree), {**sources, **own.sources}, own.problem)
    except Refused as end:
        problem = {"type": end.kind, "message": end.message, "fields": [end.path]}
        return Config(own.tree, own.sources, problem)


def _joined(files: Files, path: str, seen: list[str]) -> _Text:
    """The text of a config behind that of its bases; a base's own lines are blank in it."""
    text = files.text(path)
    ast_problem(text, path)
    parts: list[tuple[int, str]] = []
    front = ""
    for block in _BASE.finditer(text) if "read_base" in text else ():
        for dots, name in _FROM.findall(block[1]):
            base = _base_path(path, len(dots), name) if dots else name
            if base in seen or len(seen) >= MAX_BASES:
                continue
            seen.append(base)
            inner = _joined(files, base, seen) if dots and files.has(base) else _shipped(base)
            if inner is None:
                continue
            lines = front.count("\n")
            parts += [(first + lines, file) for first, file in inner.parts]
            front += inner.text if inner.text.endswith("\n") else inner.text + "\n"
    own = _BASE.sub(lambda found: "\n" * found[0].count("\n"), text) if front else text
    parts.append((front.count("\n") + 1, path))
    return _Text(front + own, tuple(parts))


def _shipped(module: str) -> _Text | None:
    """What is known of a config that comes with XTuner, as a text of its own."""
    tree = shipped_config(module.rpartition(".")[2]) if module.startswith(_SHIPPED) else None
    if tree is None:
        return None
    return _Text("".join(f"{name} = {value!r}\n" for name, value in tree.items()), ((1, module),))


def ast_problem(text: str, path: str) -> None:
    """A text that is no Python is said with its own place, before it is joined with others."""
    read_script("" if _parses(text) else text, path)


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _base_path(path: str, level: int, name: str) -> str:
    folder = PurePosixPath(path).parent
    for _ in range(level - 1):
        folder = folder.parent
    return str(folder / (name.replace(".", "/") + ".py"))


def _assigned(module: ast.Module) -> dict[str, ast.expr]:
    """The variables of a module with what was last assigned to them."""
    found: dict[str, ast.expr] = {}
    for statement in ast.walk(module):
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                for name in ast.walk(target):
                    if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store):
                        found[name.id] = statement.value
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            found |= {statement.target.id: statement.value} if statement.value else {}
    return found


def _value(value: Any, path: str) -> Any:
    """A value of the script as a tree has it: a name by its class, what is not known as Unknown."""
    if isinstance(value, Name):
        return {"name": value.name, "class": class_of(value.name)}
    if isinstance(value, dict):
        return {str(key): _value(item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, list) or type(value) is tuple:
        items = [_value(item, f"{path}.{index}") for index, item in enumerate(value)]
        return tuple(items) if isinstance(value, tuple) else items
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return unread(path)


def class_of(name: str) -> str:
    """Top package and class: `torch.AdamW` for `torch.optim.AdamW`."""
    return f"{name.partition('.')[0]}.{name.rpartition('.')[2]}"


def _places(
    node: ast.expr, path: str, nodes: Mapping[str, ast.expr], depth: int
) -> Iterator[tuple[str, ast.expr]]:
    """Every value below a path with the node where it is written; a variable where it was set."""
    while isinstance(node, ast.Name) and node.id in nodes and depth < 20:
        node, depth = nodes[node.id], depth + 1
    yield path, node
    if depth >= 20:
        return
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        for word in node.keywords:
            if word.arg is not None:
                yield from _places(word.value, f"{path}.{word.arg}", nodes, depth + 1)
    elif isinstance(node, ast.Dict):
        for key, item in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant):
                yield from _places(item, f"{path}.{key.value!s}", nodes, depth + 1)
    elif isinstance(node, ast.List):
        for index, item in enumerate(node.elts):
            yield from _places(item, f"{path}.{index}", nodes, depth + 1)


def is_lazy(module: ast.Module) -> bool:
    """An import that is not Python's own makes all imports names: mmengine config/config.py:1659."""
    for node in ast.walk(module):
        names = []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""] if not node.level else [""]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        if any(name.partition(".")[0] not in sys.stdlib_module_names for name in names):
            return True
    return False


def used_name(module: ast.Module) -> dict[str, Any] | None:
    """How the first use of an imported name ends: it is no object yet, and can only be named."""
    imported: set[str] = set()
    for statement in module.body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            imported |= {alias.asname or alias.name.partition(".")[0] for alias in statement.names}
        elif isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Expr):
            for node in _evaluated(statement):
                if isinstance(node, ast.Call) and _root(node.func) in imported:
                    return {"type": "RuntimeError", "message": "", "fields": [f"config.line{node.lineno}"]}
                if isinstance(node, ast.Subscript) and _root(node.value) in imported:
                    kind = "LazyAttr" if isinstance(node.value, ast.Attribute) else "LazyObject"
                    message = f"'{kind}' object is not subscriptable"
                    return {"type": "TypeError", "message": message, "fields": [f"config.line{node.lineno}"]}
    return None


def _evaluated(node: ast.AST) -> Iterator[ast.AST]:
    """The parts of a statement, inner ones first; not what runs later."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.Lambda):
            yield from _evaluated(child)
    yield node


def _root(node: ast.expr) -> str:
    """`os` of `os.environ.get`."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""
