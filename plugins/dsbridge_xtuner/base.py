"""`--base cfg.py`: an edited copy of the user's config. Its text is parsed, never executed.

A field is edited where the literal stands that it comes from, mostly a module-level variable. Every edit
is tried on the syntax tree first: it counts only if the field then has the value wanted, and no field
settled before has changed. What cannot be edited so is left to --cfg-options.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dsbridge.sdk import Base, Diagnostic, InputError, Source, show
from dsbridge_xtuner import codes
from dsbridge_xtuner.shape import UNKNOWN, Shape
from dsbridge_xtuner.wants import DELETE, Wants, means

_KEPT = "sequence_parallel_size"  # never changed to make another field come out right


@dataclass
class Config:
    """A parsed config: `module` is LibCST's tree, `text` what the user wrote."""

    base: Base
    module: Any
    shape: Shape


def parse(base: Base) -> Config:
    """Read the user's config.

    Raises:
        InputError: it is no Python, no XTuner config, or LibCST is not installed.
    """
    try:
        import libcst as cst
    except ImportError:
        hint = "Run pip install 'dsbridge[edit]'."
        raise InputError([codes.NO_LIBRARY("--base for xtuner needs LibCST", hint=hint)]) from None
    from dsbridge_xtuner.static import Cell, leaves, read_config

    try:
        module = cst.parse_module(base.text)
    except (cst.ParserSyntaxError, RecursionError) as error:
        line = getattr(error, "raw_line", None)
        message = f"not a Python file: {getattr(error, 'message', 'nested too deeply')}"
        raise InputError([codes.BASE_NOT_PYTHON(message, at=Source(base.name, line))]) from None
    if "xtuner.v1" in base.text:
        line = base.text[: base.text.index("xtuner.v1")].count("\n") + 1
        message = "the config imports xtuner.v1, which knows FSDP and no DeepSpeed"
        hint = "Start from a config of the 0.2 line: xtuner copy-cfg NAME ."
        raise InputError([codes.V1(message, hint=hint, at=Source(base.name, line))])
    tree = read_config(module)
    if not tree.open and not {"train_dataloader", "optim_wrapper", "model"} & tree.cells.keys():
        message = "none of model, train_dataloader and optim_wrapper is assigned"
        hint = "Copy a shipped config to start from: xtuner copy-cfg NAME ."
        raise InputError([codes.BASE_NOT_A_CONFIG(message, hint=hint, at=Source(base.name, 1))])
    return Config(base, module, Shape(dict(leaves(Cell(tree))), not tree.open, base.name))


def edit(config: Config, wants: Wants, header: str) -> tuple[str, dict[str, Any]]:
    """The edited text, and the fields that only an option can set."""
    editor = _Editor(config, wants)
    replaced = [path.removesuffix(f".{DELETE}") for path in wants.fields if path.endswith(f".{DELETE}")]
    fields = dict(wants.fields)
    later = {p: v for p, v in fields.items() if any(p.startswith(f"{r}.") for r in replaced)}
    first = {p: v for p, v in fields.items() if p not in later}
    rest = {p: v for p, v in first.items() if _in_steps(p, fields) or not editor.settle(p, v)}
    rest = {p: v for p, v in rest.items() if not editor.has(p, v)}
    wants.tell(*editor.diagnostics({**rest, **later}))
    return f"# {header}\n{editor.text()}", _with_parents(config.shape, {**rest, **later})


def _in_steps(path: str, fields: dict[str, Any]) -> bool:
    """A curve in micro-steps: the variables behind it count epochs, and would mean nothing."""
    return path.startswith("param_scheduler.") and fields.get("train_cfg.max_iters") is not None


def _with_parents(shape: Shape, options: dict[str, Any]) -> dict[str, Any]:
    """mmengine cannot merge a field into None: such a parent is replaced."""
    found: dict[str, Any] = {}
    for path, value in options.items():
        parts = path.split(".")
        for end in range(1, len(parts)):
            parent = ".".join(parts[:end])
            if parent in shape.leaves and shape.leaves[parent] is None:
                found[f"{parent}.{DELETE}"] = True
        found[path] = value
    return found


class _Editor:
    """The edits chosen so far, as values that literals should have."""

    def __init__(self, config: Config, wants: Wants) -> None:
        from dsbridge_xtuner import static

        self.static, self.config, self.wants = static, config, wants
        self.instead: dict[int, Any] = {}
        self.nodes: dict[int, Any] = {}
        self.settled: dict[str, Any] = {}
        self.tree = static.read_config(config.module)

    def has(self, path: str, value: Any, tree: Any = None) -> bool:
        """Whether the field has the value (absent counts as None)."""
        cell = self.static.at(tree or self.tree, path)
        if cell is None:
            return value is None
        has = cell.value.name if isinstance(cell.value, self.static.Symbol) else cell.value
        return means(path, has, value)

    def settle(self, path: str, value: Any) -> bool:
        """Give the field its value by editing one literal, if that works and changes nothing settled."""
        if self.has(path, value) or any(
            self._try(path, value, *attempt) for attempt in self._attempts(path, value)
        ):
            self.settled[path] = value
            return True
        return False

    def _attempts(self, path: str, value: Any) -> Iterator[tuple[Any, Any]]:
        """Literals to change and the values to try: the value itself, or in proportion."""
        cell = self.static.at(self.tree, path)
        if cell is None or isinstance(value, list):
            return
        for node in cell.origins:
            if len(cell.origins) == 1 or not isinstance(value, str):
                yield node, value
            old = self.static.read_literal(node) if id(node) not in self.instead else self.instead[id(node)]
            scaled = _in_proportion(old, cell.value, value)
            if scaled is not None:
                yield node, scaled

    def _try(self, path: str, value: Any, node: Any, new: Any) -> bool:
        instead = {**self.instead, id(node): new}
        tree = self.static.read_config(self.config.module, instead)
        size = self.static.at(tree, _KEPT)
        before = self.static.at(self.tree, _KEPT)
        kept = path == _KEPT or (size and size.value) == (before and before.value)
        if not kept or not self.has(path, value, tree):
            return False
        if not all(self.has(p, v, tree) for p, v in self.settled.items()):
            return False
        if not self._unknown(tree) <= self._unknown(self.tree):
            return False  # another field is calculated from this literal, and no longer can be
        self.instead, self.tree, self.nodes[id(node)] = instead, tree, node
        return True

    def _unknown(self, tree: Any) -> set[str]:
        leaves = self.static.leaves(self.static.Cell(tree))
        return {path for path, value in leaves if value is UNKNOWN}

    def text(self) -> str:
        """The module with every changed literal written anew; all else is the user's, byte for byte."""
        return self.static.rewritten(self.config.module, {i: self.instead[i] for i in self.nodes})

    def diagnostics(self, rest: dict[str, Any]) -> Iterator[Diagnostic]:
        """One line for every value of the user's that was replaced, and for what is left to options."""
        name = self.config.base.name
        lines = self.static.lines(self.config.module, self.nodes)
        before = self.static.read_config(self.config.module)
        for node_id, node in self.nodes.items():
            old, new = self.static.read_literal(node), self.instead[node_id]
            paths = [p for p in self.settled if _from(self.static.at(before, p), node)]
            message = f"{show(old)} becomes {show(new)} (`{paths[0] if paths else '?'}`)"
            key = self.wants.keys.get(paths[0]) if paths else None
            yield codes.BASE_CHANGED(message, key=key, at=Source(name, lines.get(node_id)))
        curve = [path for path in rest if path.startswith("param_scheduler")]
        if curve:
            message = f"`param_scheduler` of {name} cannot be edited into this curve; launch.sh sets it"
            yield codes.BASE_NOT_EDITED(message, key=self.wants.keys.get(curve[0]))
        for path, value in rest.items():
            if path not in curve and not path.endswith(DELETE):
                found = self._why_left(self.static.at(before, path))
                message = f"`{path}` {found} {name}; launch.sh sets it to {show(value)}"
                yield codes.BASE_NOT_EDITED(message, key=self.wants.keys.get(path))

    def _why_left(self, cell: Any) -> str:
        if cell is None:
            return "is not in"
        value = cell.value.name if isinstance(cell.value, self.static.Symbol) else cell.value
        known = value is None or isinstance(value, bool | int | float | str | tuple)
        return f"is {show(value)}, which cannot be edited, in" if known else "cannot be read in"


def _from(cell: Any, node: Any) -> bool:
    return cell is not None and any(origin is node for origin in cell.origins)


def _in_proportion(old: Any, has: Any, wanted: Any) -> Any:
    """The literal that scales `has` to `wanted`; whole where the old one was whole."""
    numbers = [v for v in (old, has, wanted) if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) != 3 or not has:
        return None
    scaled = float(f"{old * wanted / has:.12g}")
    if isinstance(old, int):
        return int(scaled) if scaled.is_integer() else None
    return scaled
