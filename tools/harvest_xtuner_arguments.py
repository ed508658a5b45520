"""Write plugins/dsbridge_xtuner/arguments.json: the flags of `xtuner train` and the keys of its configs.

    .nox/conformance-xtuner/bin/python tools/harvest_xtuner_arguments.py [--out FILE]

Runs with the Python of an environment that has xtuner. The flags are those of tools/train.py's own parser.
The keys are those that tools/train.py, what it calls with the whole config, and mmengine's two runners read
of it.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib.metadata
import inspect
import io
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT)]

from tools.tables import fate, to_text  # noqa: E402

OUT = ROOT / "plugins" / "dsbridge_xtuner" / "arguments.json"
OWN = ("get", "pop", "setdefault")


def harvest() -> dict[str, Any]:
    """Flags and keys of the xtuner of this Python."""
    from mmengine.runner import FlexibleRunner, Runner
    from xtuner.tools import train, utils

    read = [train.main, train.check_cfg, utils.set_model_resource, Runner.from_cfg, FlexibleRunner.from_cfg]
    keys: dict[str, list[str]] = {}
    for function in read:
        for name in keys_read(textwrap.dedent(inspect.getsource(function))):
            keys.setdefault(name, []).append(f"{function.__module__}.{function.__qualname__}")
    parser = _parser(train)
    return {
        "generated_by": "tools/harvest_xtuner_arguments.py",
        "versions": {name: importlib.metadata.version(name) for name in ("xtuner", "mmengine")},
        "flags": {action.dest: _flag(action) for action in parser._actions if action.dest != "help"},
        "keys": {name: sorted(set(where)) for name, where in sorted(keys.items())},
        "unknown": {"flags": _unknown_flag(parser), "config": _unknown_key(Runner)},
    }


def _parser(train: Any) -> argparse.ArgumentParser:
    """The parser that parse_args builds, taken from it when it starts to parse."""
    with mock.patch.object(argparse.ArgumentParser, "parse_args", autospec=True) as parse:
        train.parse_args()
    found: argparse.ArgumentParser = parse.call_args.args[0]
    return found


def _flag(action: argparse.Action) -> dict[str, Any]:
    kind = getattr(action.type, "__name__", "str")
    found: dict[str, Any] = {"names": action.option_strings, "kind": {"str": "text"}.get(kind, kind)}
    if action.choices:
        found |= {"kind": "choice", "choices": list(action.choices)}
    if action.nargs == "+":
        found["kind"] = "dict" if type(action).__name__ == "DictAction" else "list"
    if action.default is not None:
        found["default"] = action.default
    return found


def keys_read(source: str) -> Iterator[str]:
    """`cfg.get("x")`, `cfg["x"]`, `cfg.x`, `getattr(cfg, "x")`, `"x" in cfg`."""
    tree = ast.parse(source)
    called = {node.func for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        named: ast.expr | None = None
        if isinstance(node, ast.Call) and node.args:
            if ast.unparse(node.func) == "getattr" and ast.unparse(node.args[0]) == "cfg":
                named = node.args[1]
            elif ast.unparse(node.func) in [f"cfg.{name}" for name in OWN]:
                named = node.args[0]
        elif isinstance(node, ast.Subscript) and ast.unparse(node.value) == "cfg":
            named = node.slice
        elif isinstance(node, ast.Compare) and ast.unparse(node.comparators[0]) == "cfg":
            named = node.left
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "cfg" and node not in called:
            named = ast.Constant(node.attr)
        if isinstance(named, ast.Constant) and not str(named.value).startswith("_"):
            yield str(named.value)


def _unknown_flag(parser: argparse.ArgumentParser) -> str:
    with contextlib.redirect_stderr(io.StringIO()):
        return fate(parser.parse_args, ["config.py"], ["config.py", "--no-such-name", "1"])


def _unknown_key(runner: Any) -> str:
    """mmengine makes a runner of a config with a key that nobody reads."""
    from mmengine.config import Config

    with tempfile.TemporaryDirectory() as folder:
        base = {"work_dir": folder, "model": {"type": "torch.nn.Identity"}, "log_level": "ERROR"}
        base["env_cfg"] = {"dist_cfg": {"backend": "gloo"}}

        def build(more: dict[str, Any]) -> None:
            runner.from_cfg(Config(base | {"experiment_name": f"n{len(more)}"} | more))

        return fate(build, {}, {"no_such_name": 1})


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description="Harvest XTuner's flags and keys.")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    options.out.write_text(to_text(harvest()), encoding="utf-8")


if __name__ == "__main__":
    main()
