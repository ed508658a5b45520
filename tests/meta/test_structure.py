"""The rooms: imports point one way, files and functions keep their size."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

CORE = sorted((ROOT / "dsbridge").rglob("*.py"))
PLUGINS = sorted((ROOT / "plugins").rglob("*.py"))
# a plugin may stand on the plugin of the framework that its own framework stands on
STANDS_ON = {
    "dsbridge_trainer": {"dsbridge_accelerate"},
    "dsbridge_llamafactory": {"dsbridge_trainer", "dsbridge_accelerate"},
    "dsbridge_xtuner": {"dsbridge_trainer"},
}
FRAMEWORKS = {
    "torch",
    "deepspeed",
    "accelerate",
    "transformers",
    "llamafactory",
    "xtuner",
    "mmengine",
    "peft",
}
# run inside programs that have the frameworks, and imported by nothing else
INSIDE = {"observe", "hooks"}
# those of their modules that ask a live object and import nothing for it
ASKING = {"dsbridge.observe.calls", "dsbridge.observe.engine", "dsbridge.hooks.live"}
# of the hooks only these need a framework to be imported: their class has one of its for a base
BASED = {"callback.py": "transformers", "xtuner.py": "mmengine"}
# what a plugin may import: for rendering, and for reading and rules
PUBLIC = ("dsbridge.sdk", "dsbridge.rulebook")
# a room may import from itself and from those listed below it
LEVELS = (
    {"values", "provenance", "version", "closeness", "observe"},
    {"diagnostics", "trees"},
    {"claims", "weights"},
    {"language"},
    {"formats", "rules", "bounds"},
    {"reading", "questions", "vocabulary", "checkpoints"},
    {"ruleindex"},
    {"resolve"},
    {"launchers"},
    {"rulebook"},
    {"spec"},
    {"fields", "framework"},
    {"artifacts", "launch"},
    {"hookspecs"},
    {"deepspeed", "plugins"},
    {"planner"},
    {"rendering", "inputs"},
    {"stories"},
    {"explaining", "assumed", "parsing", "sharding", "targets"},
    {"prediction", "building", "filling", "verification", "faithful", "optimizing"},
    {"migrating", "launching", "against"},
    {"sides", "trained", "watching"},
    {"differing", "planning"},
    {"report"},
    {"subjects"},
    {"checks", "resuming"},
    {"checking"},
    {"report"},
    {"hooks"},
    {"sdk", "api", "testing"},
    {"cli"},
    {"__main__", "__init__"},
)
DATA_TABLES = {"zero.py", "offload.py", "precision.py", "training.py", "model.py"}


def imports(path: Path) -> Iterator[str]:
    """Every imported module."""
    for node in ast.walk(ast.parse(path.read_text())):
        assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}: relative import"
        yield from imports_of(node)


def imports_of(node: ast.AST) -> Iterator[str]:
    """The modules that this statement imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield node.module or ""


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def level(name: str) -> int:
    return next(i for i, names in enumerate(LEVELS) if name in names)


def test_core_imports_point_down_and_never_to_a_plugin_or_framework() -> None:
    for path in CORE:
        points_down(path)


def points_down(path: Path) -> None:
    own = room(".".join(path.relative_to(ROOT).with_suffix("").parts))
    for module in imports(path):
        top = module.split(".")[0]
        assert top not in FRAMEWORKS or own in INSIDE, f"{path} imports {module}"
        assert not top.startswith("dsbridge_"), f"{path} imports {module}"
        if top == "dsbridge" and room(module) != own:
            inside = room(module) in INSIDE and own not in INSIDE
            assert not inside or module in ASKING, f"{path} imports {module}, which needs the frameworks"
            assert level(room(module)) < level(own), f"{own} imports {room(module)}, which stands above it"


def test_hooks_import_no_framework_before_they_are_used() -> None:
    for path in (*(ROOT / "dsbridge" / "hooks").glob("*.py"), ROOT / "dsbridge" / "observe" / "engine.py"):
        for node in ast.parse(path.read_text()).body:
            names = imports_of(node)
            found = {name.split(".")[0] for name in names} & FRAMEWORKS
            assert found <= {BASED.get(path.name, "")}, f"{path} imports {found} when it is imported"


@pytest.mark.parametrize("path", PLUGINS, ids=lambda p: str(p.relative_to(ROOT)))
def test_plugins_import_the_public_doors_alone(path: Path) -> None:
    own = path.relative_to(ROOT / "plugins").parts[0]
    for module in imports(path):
        top = module.split(".")[0]
        assert top not in FRAMEWORKS, f"{path} imports {module}"
        if top == "dsbridge":
            assert module in PUBLIC, f"{path} imports {module}: only {PUBLIC} are public"
        elif top.startswith("dsbridge_"):
            assert top in {own, *STANDS_ON.get(own, set())}, f"{path} imports {module}"


def test_sizes() -> None:
    for path in CORE + PLUGINS:
        assert path.read_text().count("\n") <= 400 or path.name in DATA_TABLES, path
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.end_lineno:
                assert node.end_lineno - node.lineno < 60, f"{path}: {node.name}"


def test_the_median_file_is_short() -> None:
    lengths = [p.read_text().count("\n") for p in CORE + PLUGINS if p.name not in DATA_TABLES]
    assert statistics.median(lengths) <= 120
