"""What an XTuner config says, read from its syntax tree. Nothing is executed or imported.

Every value keeps the literals it comes from, so that an edit can start there.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import libcst as cst

from dsbridge_xtuner.shape import UNKNOWN, Unknown


@dataclass(frozen=True)
class Symbol:
    """An imported name, or an attribute of one: `AdamW`, `torch.float16`."""

    name: str


@dataclass
class Tree:
    """A mapping of the config. `open` means that it may hold more than is seen here."""

    cells: dict[str, Cell] = field(default_factory=dict)
    open: bool = False


@dataclass(frozen=True)
class Cell:
    """A value, and the literals that it was computed from (one: it is that literal)."""

    value: Any
    origins: tuple[cst.BaseExpression, ...] = ()


NOTHING = Cell(UNKNOWN)
_OPERATORS: dict[type[Any], Callable[[Any, Any], Any]] = {
    cst.Add: operator.add,
    cst.Subtract: operator.sub,
    cst.Multiply: operator.mul,
    cst.Divide: operator.truediv,
    cst.FloorDivide: operator.floordiv,
    cst.AddAssign: operator.add,
    cst.SubtractAssign: operator.sub,
    cst.MultiplyAssign: operator.mul,
    cst.DivideAssign: operator.truediv,
    cst.GreaterThan: operator.gt,
    cst.GreaterThanEqual: operator.ge,
    cst.LessThan: operator.lt,
    cst.LessThanEqual: operator.le,
    cst.Equal: operator.eq,
    cst.NotEqual: operator.ne,
}
_SMALL_LITERALS = (cst.Integer, cst.Float, cst.SimpleString, cst.ConcatenatedString)


def read_config(module: cst.Module, instead: Mapping[int, Any] | None = None) -> Tree:
    """The module's variables. `instead` maps ids of literal nodes to values they should have."""
    reader = _Reader(instead or {})
    reader.run(module.body)
    return Tree(reader.names, open=reader.inherits)


def at(tree: Tree, path: str) -> Cell | None:
    """The cell at a dotted path; None where the config surely has none."""
    cell = Cell(tree)
    for key in path.split("."):
        value = cell.value
        if isinstance(value, Tree):
            if key not in value.cells:
                return NOTHING if value.open else None
            cell = value.cells[key]
        elif isinstance(value, list):
            if not key.isdigit() or int(key) >= len(value):
                return None
            cell = value[int(key)]
        elif isinstance(value, Unknown | Symbol):
            return NOTHING
        else:
            return None
    return cell


def leaves(cell: Cell, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every dotted path with its value; a Symbol by its name, what is not known as UNKNOWN."""
    value = cell.value
    if isinstance(value, Tree):
        for key, inner in value.cells.items():
            yield from leaves(inner, f"{prefix}.{key}" if prefix else key)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(inner, f"{prefix}.{index}")
    else:
        yield prefix, value.name if isinstance(value, Symbol) else value


class _Reader:
    """Runs the statements a config is made of over known values, and gives up on the others."""

    def __init__(self, instead: Mapping[int, Any]) -> None:
        self.instead = instead
        self.names: dict[str, Cell] = {}
        self.inherits = False

    def run(self, body: Any) -> None:
        for statement in body:
            if isinstance(statement, cst.SimpleStatementLine):
                for part in statement.body:
                    self._simple(part)
            elif isinstance(statement, cst.If):
                self._branch(statement)
            elif isinstance(statement, cst.FunctionDef | cst.ClassDef):
                self.names[statement.name.value] = Cell(Symbol(statement.name.value))
            else:
                self._give_up(statement)

    def _simple(self, node: Any) -> None:
        if isinstance(node, cst.Import | cst.ImportFrom):
            self._imported(node)
        elif isinstance(node, cst.Assign):
            cell = self.value(node.value)
            for target in node.targets:
                self._assign(target.target, cell)
        elif isinstance(node, cst.AnnAssign) and node.value is not None:
            self._assign(node.target, self.value(node.value))
        elif isinstance(node, cst.AugAssign):
            self._assign(node.target, self._calculate(self.value(node.target), node.operator, node.value))
        elif not isinstance(node, cst.Pass) and not _is_text(node):
            self._give_up(node)  # x.update(...), del x

    def _imported(self, node: cst.Import | cst.ImportFrom) -> None:
        if isinstance(node.names, cst.ImportStar):
            self.inherits = True
            return
        for alias in node.names:
            name = alias.evaluated_alias or alias.evaluated_name.split(".")[0]
            self.names[name] = Cell(Symbol(name))

    def _assign(self, target: Any, cell: Cell) -> None:
        if isinstance(target, cst.Name):
            self.names[target.value] = cell
            self.inherits = self.inherits or target.value == "_base_"
        else:
            self._give_up(target)

    def _branch(self, node: cst.If) -> None:
        test = self.value(node.test).value
        if isinstance(test, Unknown | Symbol | Tree):
            self._give_up(node)
        elif test:
            self.run(node.body.body)
        elif isinstance(node.orelse, cst.If):
            self._branch(node.orelse)
        elif node.orelse is not None:
            self.run(node.orelse.body.body)

    def _give_up(self, node: cst.CSTNode) -> None:
        """Whatever the node names may be changed by it; a shared mapping is changed for all."""
        names = _Names()
        node.visit(names)
        self.inherits = self.inherits or names.star
        for name in names.found:
            old = self.names.get(name)
            if old is not None and isinstance(old.value, Symbol):
                continue
            if old is not None and isinstance(old.value, Tree):
                old.value.cells, old.value.open = {}, True
            elif old is not None and isinstance(old.value, list):
                old.value[:] = [NOTHING] * len(old.value)
            self.names[name] = NOTHING

    def value(self, node: Any) -> Cell:
        """The cell of an expression."""
        if id(node) in self.instead:
            return Cell(self.instead[id(node)], (node,))
        literal = _literal(node)
        if literal is not UNKNOWN:
            return Cell(literal, (node,))
        if isinstance(node, cst.Name):
            return self.names.get(node.value, NOTHING)
        if isinstance(node, cst.Attribute):
            base = self.value(node.value).value
            return Cell(Symbol(f"{base.name}.{node.attr.value}")) if isinstance(base, Symbol) else NOTHING
        if isinstance(node, cst.Call):
            return self._call(node)
        if isinstance(node, cst.List):
            return Cell([self.value(element.value) for element in node.elements])
        if isinstance(node, cst.Dict):
            return self._dict(node)
        if isinstance(node, cst.BinaryOperation):
            return self._calculate(self.value(node.left), node.operator, node.right)
        if isinstance(node, cst.Comparison) and len(node.comparisons) == 1:
            (test,) = node.comparisons
            return self._calculate(self.value(node.left), test.operator, test.comparator)
        if isinstance(node, cst.IfExp):
            chosen = self.value(node.test).value
            if isinstance(chosen, bool):
                return self.value(node.body if chosen else node.orelse)
        return NOTHING

    def _call(self, node: cst.Call) -> Cell:
        if not (isinstance(node.func, cst.Name) and node.func.value == "dict"):
            return NOTHING
        tree = Tree()
        for arg in node.args:
            if arg.keyword is not None:
                tree.cells[arg.keyword.value] = self.value(arg.value)
                continue
            inner = self.value(arg.value).value
            if isinstance(inner, Tree):
                tree.cells |= inner.cells
                tree.open = tree.open or inner.open
            else:
                tree.open = True
        return Cell(tree)

    def _dict(self, node: cst.Dict) -> Cell:
        tree = Tree()
        for element in node.elements:
            key = _literal(element.key) if isinstance(element, cst.DictElement) else UNKNOWN
            if isinstance(key, str):
                tree.cells[key] = self.value(element.value)
            else:
                tree.open = True
        return Cell(tree)

    def _calculate(self, left: Cell, sign: Any, node: Any) -> Cell:
        right = self.value(node)
        a, b, do = left.value, right.value, _OPERATORS.get(type(sign))
        if do is None or isinstance(a, Unknown | Symbol | Tree) or isinstance(b, Unknown | Symbol | Tree):
            return NOTHING
        try:
            return Cell(do(a, b), (*left.origins, *right.origins))
        except (TypeError, ValueError, ArithmeticError):
            return NOTHING


class _Names(cst.CSTVisitor):
    """Every name in a piece of code."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.star = False

    def visit_Name(self, node: cst.Name) -> None:
        self.found.add(node.value)

    def visit_ImportStar(self, node: cst.ImportStar) -> None:
        self.star = True


def _literal(node: Any) -> Any:
    """The value of a literal: number, text, True, None, or a tuple or list of such."""
    if isinstance(node, cst.Name):
        return {"True": True, "False": False, "None": None}.get(node.value, UNKNOWN)
    small = isinstance(node, _SMALL_LITERALS)
    signed = isinstance(node, cst.UnaryOperation) and isinstance(node.operator, cst.Minus)
    row = isinstance(node, cst.Tuple | cst.List) and bool(node.elements)
    if not (small or signed or row):
        return UNKNOWN
    if row and not all(_literal(element.value) is not UNKNOWN for element in node.elements):
        return UNKNOWN
    try:
        value = ast.literal_eval(cst.Module([]).code_for_node(node).strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return UNKNOWN
    return tuple(value) if isinstance(value, list) else value


def _is_text(node: cst.CSTNode) -> bool:
    return isinstance(node, cst.Expr) and isinstance(node.value, cst.SimpleString | cst.ConcatenatedString)


def read_literal(node: Any) -> Any:
    """The value of a literal node."""
    return _literal(node)


def lines(module: cst.Module, nodes: Mapping[int, Any]) -> dict[int, int]:
    """The line of each node, by id."""
    from libcst.metadata import MetadataWrapper, PositionProvider

    places = MetadataWrapper(module, unsafe_skip_copy=True).resolve(PositionProvider)
    return {id(node): place.start.line for node, place in places.items() if id(node) in nodes}


def rewritten(module: cst.Module, instead: Mapping[int, Any]) -> str:
    """The module's text with other values at some literals."""
    return str(module.visit(_Rewriter(instead)).code)


class _Rewriter(cst.CSTTransformer):
    """Puts new literals in place of nodes, by id; keeps their parentheses and quotes."""

    def __init__(self, instead: Mapping[int, Any]) -> None:
        super().__init__()
        self.instead = instead

    def on_leave(self, original_node: Any, updated_node: Any) -> Any:
        if id(original_node) not in self.instead:
            return super().on_leave(original_node, updated_node)
        value = self.instead[id(original_node)]
        text = repr(value)
        if isinstance(value, str) and '"' not in value and "\\" not in text:
            text = f'"{value}"' if not _single_quoted(original_node) else text
        new = cst.parse_expression(text)
        rows = isinstance(new, cst.Tuple) or isinstance(original_node, cst.Tuple)
        return new if rows else new.with_changes(lpar=original_node.lpar, rpar=original_node.rpar)


def _single_quoted(node: Any) -> bool:
    return isinstance(node, cst.SimpleString) and node.value.startswith("'")
