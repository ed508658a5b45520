"""Harvest which models Liger's kernels replace what of, from the packages' own source.

    python tools/harvest_liger.py FOLDER

FOLDER holds one unpacked liger-kernel a release (`FOLDER/0.8.5/liger_kernel/...`). Nothing of it is run.
Writes `dsbridge/planner/liger.json`: for each model type that `_apply_liger_kernel` knows, the first of these
releases that does, and what it replaces unless told otherwise, in the last: positions, norms (of a model
that is there already, those of queries and keys too; and whether their gradient is written over the one they
get), the gated MLP, the loss.
"""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT)]

from dsbridge.rules import numbers  # noqa: E402

TABLE = ROOT / "dsbridge" / "planner" / "liger.json"
PATCHES, NORMS = "transformers/monkey_patch.py", "transformers/rms_norm.py"
GATED = ("swiglu", "geglu")


def main(folder: Path) -> None:
    """Write the table."""
    releases = sorted((p.name for p in folder.iterdir() if (p / "liger_kernel").is_dir()), key=numbers)
    models: dict[str, dict[str, Any]] = {}
    for release in releases:
        for name, replaced in _models(folder / release / "liger_kernel").items():
            since = models.get(name, {}).get("since", release)
            models[name] = {"since": since, **replaced}
    table = {
        "generator": "tools/harvest_liger.py",
        "package": "liger-kernel",
        "releases": releases,
        "files": [PATCHES, NORMS],
        "models": dict(sorted(models.items())),
    }
    TABLE.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


def _models(package: Path) -> dict[str, dict[str, bool]]:
    tree = ast.parse((package / PATCHES).read_text(encoding="utf-8"))
    over = _in_place(package / NORMS)
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    found = {}
    for name, function in _table(tree).items():
        asked = _defaults(functions[function])
        gated = any(asked.get(one) for one in GATED)
        found[name] = {
            "positions": bool(asked.get("rope")),
            "norms": bool(asked.get("rms_norm")),
            "of_heads": any(
                isinstance(node, ast.Attribute) and node.attr == "q_norm"
                for node in ast.walk(functions[function])
            ),
            "in_place": _writes_over(functions[function], over),
            "gated": gated,
            "loss": bool(asked.get("fused_linear_cross_entropy")),
        }
    return found


def _table(tree: ast.Module) -> dict[str, str]:
    """`MODEL_TYPE_TO_APPLY_LIGER_FN`: model type to the function that patches it."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            target = node.targets[0]
            if isinstance(target, ast.Name) and target.id == "MODEL_TYPE_TO_APPLY_LIGER_FN":
                pairs = zip(node.value.keys, node.value.values, strict=True)
                return {
                    k.value: v.id for k, v in pairs if isinstance(k, ast.Constant) and isinstance(v, ast.Name)
                }
    raise SystemExit("MODEL_TYPE_TO_APPLY_LIGER_FN is gone")


def _defaults(function: ast.FunctionDef) -> dict[str, Any]:
    given = function.args.args[len(function.args.args) - len(function.args.defaults) :]
    pairs = zip(given, function.args.defaults, strict=True)
    return {one.arg: value.value for one, value in pairs if isinstance(value, ast.Constant)}


def _in_place(path: Path) -> dict[str, bool]:
    """Class of a norm: whether it writes its gradient over the one it gets."""
    found = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            init = next(
                (one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"),
                None,
            )
            found[node.name] = init is None or bool(_defaults(init).get("in_place", True))
    return found


def _writes_over(function: ast.FunctionDef, over: dict[str, bool]) -> bool:
    """Unless a class that the function names, or the function itself, says not to."""
    names = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
    told = [node for node in ast.walk(function) if isinstance(node, ast.keyword) and node.arg == "in_place"]
    off = any(isinstance(one.value, ast.Constant) and one.value.value is False for one in told)
    return not off and all(over.get(name, True) for name in names)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
