"""Harvest the arguments of LLaMA-Factory's V1, and the names its plugins have, from sources. Imports none.

    python -m tools.harvest_llamafactory_v1 --out plugins/dsbridge_llamafactory/v1_arguments.json \
        0.9.4:FOLDER 0.9.5:FOLDER

FOLDER holds the package `llamafactory`. An argument is [class, kind, choices, default, since, until], as in
tools/harvest_llamafactory.py; a plugin, `Class.method name`, is [since, until].
"""

from __future__ import annotations

import argparse
import ast
import json
from collections.abc import Iterator
from pathlib import Path

from tools.harvest_llamafactory import Argument, classes_of, enums_of, fields_of, merged, order

# The classes that HfArgumentParser gets, in its order: config/arg_parser.py
CLASSES = {
    "model": ("model_args.py", "ModelArguments"),
    "data": ("data_args.py", "DataArguments"),
    "training": ("training_args.py", "TrainingArguments"),
    "sample": ("sample_args.py", "SampleArguments"),
}


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description="Harvest the arguments of LLaMA-Factory's V1.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("sources", nargs="+", metavar="VERSION:FOLDER")
    options = parser.parse_args()
    arguments: dict[str, dict[str, Argument]] = {}
    plugins: dict[str, dict[str, Argument]] = {}
    for source in options.sources:
        version, _, folder = source.partition(":")
        root = Path(folder) / "llamafactory" / "v1"
        arguments[version] = dict(own(root))
        plugins[version] = dict.fromkeys(registered(root), ("", "", (), None))
    table = {
        "generated_by": "tools/harvest_llamafactory_v1.py",
        "versions": sorted(arguments, key=order),
        "arguments": merged(arguments),
        "plugins": {name: row[-2:] for name, row in merged(plugins).items()},
    }
    options.out.write_text(_text(table), encoding="utf-8")


def _text(table: dict[str, object]) -> str:
    """JSON with one row a line."""
    blocks = []
    for name, value in table.items():
        if isinstance(value, dict):
            rows = ",\n".join(f"{json.dumps(key)}: {json.dumps(row)}" for key, row in value.items())
            blocks.append(f"{json.dumps(name)}: {{\n{rows}\n}}")
        else:
            blocks.append(f"{json.dumps(name)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(blocks) + "\n}\n"


def own(root: Path) -> Iterator[tuple[str, Argument]]:
    """The fields of the four classes."""
    enums = enums_of(root / "config" / "arg_utils.py")
    for file in (root / "utils" / "types.py",):
        enums |= enums_of(file)
    for label, (file_name, name) in CLASSES.items():
        for field, *row in fields_of(classes_of(root / "config" / file_name)[name], enums):
            yield field, (label, *row)


def registered(root: Path) -> Iterator[str]:
    """`Class.method name` of each `@Class("name").register("method")`."""
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for call in node.decorator_list if isinstance(node, ast.FunctionDef) else ():
                inner = call.func.value if isinstance(call, ast.Call) and _registers(call) else None
                if isinstance(inner, ast.Call) and inner.args:
                    method = ast.literal_eval(call.args[0]) if call.args else "__call__"
                    yield f"{ast.unparse(inner.func)}.{method} {ast.literal_eval(inner.args[0])}"


def _registers(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr == "register"


if __name__ == "__main__":
    main()
