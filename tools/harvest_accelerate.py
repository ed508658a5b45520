"""Harvest the flags of `accelerate launch` and the keys of its YAML, from the real packages.

    .nox/conformance-hf/bin/python tools/harvest_accelerate.py harvest --out FOLDER
    python tools/harvest_accelerate.py add FOLDER
    python tools/harvest_accelerate.py older FOLDER

`harvest` runs with the Python of an environment that has accelerate; `add` puts what it wrote into
`plugins/dsbridge_accelerate/launch_options.json` and keeps the versions that are there. `older` reads the
sources in a folder of wheels of earlier releases: flags and keys that none of the table's versions has.
`python -m tools.harvest_releases accelerate` does the first two for every release.

A block of the YAML has the keys whose flags stand in its group of `accelerate launch --help`, and those that
`accelerate config` writes. A key may leave out the block's prefix where the launcher puts it back.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import dataclasses
import inspect
import io
import json
import re
import sys
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT)]

from tools.deprecations import row  # noqa: E402
from tools.tables import at, fate, named, order, ranges, run_harvester, unnamed, wheels_before  # noqa: E402

TABLE = ROOT / "plugins/dsbridge_accelerate/launch_options.json"
# which block a group of flags belongs to: the words that the groups' titles begin with
GROUPS = {
    "DeepSpeed": "deepspeed_config",
    "FSDP": "fsdp_config",
    "FP8": "fp8_config",
    "Megatron-LM": "megatron_lm_config",
    "MPI": "mpirun_config",
    "ParallelismConfig": "parallelism_config",
    "TP": "tp_config",
}
DYNAMO = "dynamo_"  # these stand among other flags
KINDS = {"int": "int", "float": "float", "bool": "bool", "str_to_bool": "bool"}
_PREFIX = re.compile(r'name == "(\w+)" and not key\.startswith\("(\w+)"\):\s+key = "(\w+)" \+ key')
_CONVERTED = re.compile(r'if "(\w+)" in config_dict:')


def harvest() -> dict[str, Any]:
    """What the accelerate of this Python has."""
    import accelerate
    from accelerate.commands import launch
    from accelerate.commands.config import cluster
    from accelerate.commands.config.config_args import BaseConfig, ClusterConfig, SageMakerConfig
    from accelerate.utils import DistributedType

    parser = launch.launch_command_parser()
    prefixes = {block: prefix for block, _, prefix in _PREFIX.findall(inspect.getsource(launch))}
    blocks = {
        "": _keys(ClusterConfig, inspect.getsource(BaseConfig.process_config)),
        "sagemaker": _keys(SageMakerConfig, ""),
        **_blocks(parser, inspect.getsource(cluster), prefixes),
    }
    return {
        "version": accelerate.__version__,
        "options": dict(sorted(_options(parser))),
        "keys": {f"{b}.{name}": found for b, keys in blocks.items() for name, found in keys.items()},
        "types": [kind.value for kind in DistributedType],
        "prefixes": prefixes,
        "unknown": unknown(launch, ClusterConfig.__dataclass_fields__),
    }


def unknown(launch: Any, fields: Collection[str]) -> dict[str, str]:
    """What becomes of a name that is no flag or key, by block ("flags" are the command's)."""
    parser = launch.launch_command_parser()
    base = {"distributed_type": "NO", "num_processes": 1, "mixed_precision": "no"}

    def read(more: dict[str, Any]) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            json.dump(base | more, file)  # JSON is YAML
            file.flush()
            launch._validate_launch_command(parser.parse_args(["--config_file", file.name, "train.py"]))

    odd = {"no_such_name": 1}
    blocks = (*GROUPS.values(), "dynamo_config")
    with contextlib.redirect_stderr(io.StringIO()):
        found = {"flags": fate(parser.parse_args, ["train.py"], ["--no_such_name=1", "train.py"])}
    found[""] = fate(read, {}, odd)
    found |= {block: fate(read, {}, {block: odd}) for block in blocks if block in fields}
    return found


def _options(parser: argparse.ArgumentParser) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every text of a flag; "sets" is what it means without a value."""
    dests = {action.dest for action in parser._actions}
    for action in parser._actions:
        for name in action.option_strings:
            found: dict[str, Any] = {"dest": action.dest, "shown": "/".join(action.option_strings)}
            if action.nargs == 0:
                found["sets"] = action.const if action.dest != "help" else "help"
            if action.type in (int, float):
                found["type"] = action.type.__name__
            if action.choices:
                found["choices"] = list(action.choices)
            if action.default is not None and action.nargs != 0 and action.default != argparse.SUPPRESS:
                found["default"] = action.default
            if "deprecated" in (action.help or ""):
                found["deprecated"] = row(str(action.help), action.dest, dests)
            yield name, found


def _keys(kind: Any, source: str) -> dict[str, dict[str, Any]]:
    """The fields of the YAML's top, and the old keys that `process_config` turns into others."""
    found: dict[str, dict[str, Any]] = {}
    for field in dataclasses.fields(kind):
        found[field.name] = {"kind": _kind(str(field.type))}
        if field.default is dataclasses.MISSING:
            continue
        if field.default is not None:
            found[field.name]["default"] = field.default
    for name in _CONVERTED.findall(source):
        found.setdefault(name, {"kind": "any", "converted": True})
    return found


def _kind(annotation: str) -> str:
    words = re.findall(r"\w+", annotation.replace("Optional", "").replace("typing", ""))
    known = {"bool": "bool", "int": "int", "dict": "dict", "list": "list"}
    return next((known[word] for word in words if word in known), "text")


def _blocks(
    parser: argparse.ArgumentParser, source: str, prefixes: dict[str, str]
) -> dict[str, dict[str, dict[str, Any]]]:
    """The keys of the blocks: their group's flags, and what `accelerate config` writes."""
    found: dict[str, dict[str, dict[str, Any]]] = {block: {} for block in (*GROUPS.values(), "dynamo_config")}
    for group in parser._action_groups:
        block = GROUPS.get((group.title or "").split(" ")[0])
        for action in group._group_actions:
            own = "dynamo_config" if action.dest.startswith(DYNAMO) else block
            if own and action.option_strings:
                found[own][action.dest] = _of_flag(action)
    for block, name in _written(source):
        prefix = prefixes.get(block, "")
        full = name if name.startswith(prefix.rstrip("_")) else prefix + name
        found[block].setdefault(full, {"kind": "any", "written": True})
    return found


def _of_flag(action: argparse.Action) -> dict[str, Any]:
    kind = "bool" if action.nargs == 0 else getattr(action.type, "__name__", "str")
    found: dict[str, Any] = {"kind": KINDS.get(kind, "text")}
    if action.choices:
        found |= {"kind": "choice", "choices": list(action.choices)}
    if action.default is not None:
        found["default"] = action.default
    return found


def _written(source: str) -> Iterator[tuple[str, str]]:
    """`deepspeed_config["zero_stage"] = ...`, also with `prefix + "x"` of a `prefix = "..."` before it."""
    prefix = ""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef):
            continue
        inside = [item for item in ast.walk(node) if isinstance(item, ast.Assign)]
        for item in sorted(inside, key=lambda one: one.lineno):
            target = item.targets[0]
            if (
                isinstance(target, ast.Name)
                and target.id == "prefix"
                and isinstance(item.value, ast.Constant)
            ):
                prefix = str(item.value.value)
            if isinstance(target, ast.Subscript) and ast.unparse(target.value) in (
                *GROUPS.values(),
                "dynamo_config",
            ):
                block, key = ast.unparse(target.value), target.slice
                if isinstance(key, ast.Constant):
                    yield block, str(key.value)
                elif isinstance(key, ast.BinOp) and isinstance(key.right, ast.Constant):
                    yield block, prefix + str(key.right.value)


def merged(found: dict[str, Any]) -> dict[str, Any]:
    """The table of all versions."""
    versions = sorted(found, key=order)
    table: dict[str, Any] = {"generated_by": "tools/harvest_accelerate.py add", "versions": versions}
    for part in ("options", "keys"):
        rows = named({v: found[v][part] for v in versions}, versions)
        table[part] = dict(sorted(rows.items()))
    table["unknown"] = named({v: found[v]["unknown"] for v in versions}, versions)
    for part in ("types", "prefixes"):
        table[part] = ranges({v: found[v][part] for v in versions}, versions)
    return table


def rebuilt(table: dict[str, Any], version: str) -> dict[str, Any]:
    """What was harvested of a version that the table has; the keys in another order."""
    return {
        "version": version,
        **{part: unnamed(table[part], version) for part in ("options", "keys", "unknown")},
        **{part: at(table[part], version) for part in ("types", "prefixes")},
    }


def older(folder: Path, table: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Flags and keys of releases before the table's, from their sources, with the release that lacks them."""
    found: dict[str, dict[str, str]] = {}
    for archive, following in wheels_before(folder, "accelerate", table["versions"][0]):
        names = _sources(
            archive.read("accelerate/commands/launch.py").decode(),
            archive.read("accelerate/commands/config/config_args.py").decode(),
            archive.read("accelerate/commands/config/cluster.py").decode(),
        )
        found |= {name: {"until": following} for name in names}
    known = {f"option {name}" for name in table["options"]} | {f"key {name}" for name in table["keys"]}
    return {name: row for name, row in sorted(found.items()) if _full(name, table) not in known}


def _full(name: str, table: dict[str, Any]) -> str:
    """`key fp8_config.margin` with the prefix that the newest launcher puts before it."""
    block, _, key = name.removeprefix("key ").partition(".")
    prefix = table["prefixes"][-1]["value"].get(block, "") if name.startswith("key ") else ""
    return name if not prefix or key.startswith(prefix) else f"key {block}.{prefix}{key}"


def _sources(launch: str, config: str, cluster: str) -> Iterator[str]:
    """`option --x` and `key block.x` of one release."""
    for node in ast.walk(ast.parse(launch)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("add_argument"):
            for word in node.args:
                if isinstance(word, ast.Constant) and str(word.value).startswith("--"):
                    yield f"option {word.value}"
    for part in ast.parse(config).body:
        if isinstance(part, ast.ClassDef) and part.name in ("BaseConfig", "ClusterConfig"):
            for item in part.body:
                if isinstance(item, ast.AnnAssign):
                    yield f"key .{ast.unparse(item.target)}"
    for block, name in _written(cluster):
        yield f"key {block}.{name}"


def add(table: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """The table with more harvests."""
    return merged({version: rebuilt(table, version) for version in table["versions"]} | found)


if __name__ == "__main__":
    run_harvester(TABLE, harvest, add, older)
