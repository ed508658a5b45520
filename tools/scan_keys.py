"""Keys of a DeepSpeed config that the engine reads later than the parser, found in its source.

The engine keeps parts of the dict and asks for their keys while it trains. Where it does, the part stands in
a variable or behind an accessor; these are named here with the block that they hold, and the keys are what
the source asks them for.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LTD = "data_efficiency.data_routing.random_ltd"
SAMPLING = "data_efficiency.data_sampling"
# (file or folder, the expression that holds the part, its block)
ROOTS = (
    ("", "self._config._param_dict", ""),
    ("", "config._param_dict", ""),
    ("__init__.py", "config", ""),
    ("checkpoint", "ds_config", ""),
    ("autotuning/autotuner.py", "self.user_config", ""),
    ("runtime/engine.py", "optimizer_parameters", "optimizer.params"),
    ("runtime/engine.py", "self.pld_params()", "progressive_layer_drop"),
    ("runtime/engine.py", "self.curriculum_params_legacy()", "curriculum_learning"),
    ("runtime/engine.py", "self._config.data_efficiency_config", "data_efficiency"),
    ("runtime/engine.py", "random_ltd_config", LTD),
    ("runtime/pipe", "self._config.pipeline", "pipeline"),
    ("runtime/data_pipeline/curriculum_scheduler.py", "s_state", "curriculum_learning.schedule_config"),
    (
        "runtime/data_pipeline/curriculum_scheduler.py",
        "s_state",
        f"{SAMPLING}.curriculum_learning.curriculum_metrics.*.schedule_config",
    ),
    ("runtime/data_pipeline/data_routing", "config", LTD),
    (
        "runtime/data_pipeline/data_routing/scheduler.py",
        "s_state",
        f"{LTD}.random_ltd_schedule.schedule_config",
    ),
    ("runtime/data_pipeline/data_sampling", "self.data_efficiency_config", "data_efficiency"),
    ("runtime/data_pipeline/data_sampling", "data_efficiency_config", "data_efficiency"),
    ("runtime/data_pipeline/data_sampling", "data_sampling_config", SAMPLING),
    ("runtime/data_pipeline/data_sampling", "batching_config", f"{SAMPLING}.dynamic_batching"),
)


def scanned() -> dict[tuple[str, str], str]:
    """(block, key) -> the file that asks for it."""
    package = Path(importlib.import_module("deepspeed").__file__ or "").parent
    found: dict[tuple[str, str], str] = {}
    for place in sorted({place for place, _, _ in ROOTS}):
        roots = [(text, block) for where, text, block in ROOTS if where == place]
        target = package / place
        for file in [target] if target.is_file() else sorted(target.rglob("*.py")):
            source = file.read_text(encoding="utf-8")
            if any(text in source for text, _ in roots):
                name = file.relative_to(package.parent)
                for key in _read(source, name, roots):
                    found.setdefault(key, str(name))
    return found


def _read(source: str, name: Path, roots: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(source)):
        for text, block in roots:
            keys = _keys(node, text, name)
            for depth, key in enumerate(keys or ()):
                if key != "*":
                    yield ".".join(filter(None, (block, *keys[:depth]))), key


def _keys(node: ast.AST, root: str, name: Path) -> list[str]:
    """The keys by which the expression goes down from the root, or none if it does not ask for one."""
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
        return _down(node.value, node.slice, root, name)
    asks = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args
    if asks and node.func.attr in ("get", "pop"):
        return _down(node.func.value, node.args[0], root, name)
    if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
        inside = node.comparators[0]
        if isinstance(inside, ast.Call) and isinstance(inside.func, ast.Attribute):
            inside = inside.func.value  # X in block.keys()
        return _down(inside, node.left, root, name)
    return []


def _down(value: ast.expr, key: ast.expr, root: str, name: Path) -> list[str]:
    if ast.unparse(value) == root:
        before: list[str] = []
    else:
        before = _keys(value, root, name)
        if not before:
            return []
    return [*before, _constant(key, name)]


def _constant(key: ast.expr, name: Path) -> str:
    """The text of a key: written, or the value of a constant of the module; `*` for a name of the user's."""
    if isinstance(key, ast.Constant) and isinstance(key.value, str):
        return key.value
    if isinstance(key, ast.Name):
        found: Any = _globals(name).get(key.id)
        if isinstance(found, str):
            return found
    return "*"


def _globals(name: Path) -> dict[str, Any]:
    parts = name.with_suffix("").parts
    module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    try:
        return vars(importlib.import_module(module))
    except Exception:
        return {}
