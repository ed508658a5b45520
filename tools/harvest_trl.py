"""Harvest TRL's classes of arguments: what each declares beyond TrainingArguments, and what it fills in.

    PYTHONPATH=FOLDER .nox/conformance-hf/bin/python tools/harvest_trl.py harvest
    python tools/harvest_trl.py merge

FOLDER holds one release of TRL (`pip install --no-deps --target FOLDER trl==1.16.0`, and `datasets`).
`harvest` writes what that release has. It keeps the fields that TRL's own classes declare, whatever
transformers it was run with: they win over TrainingArguments' in every version. `merge` writes
`plugins/dsbridge_trainer/trl.json`, each row with the releases it holds in (`since` included, `until`
excluded, "" for no bound).
"""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.metadata
import inspect
import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT)]

from tools.harvest_transformers import rows_of  # noqa: E402
from tools.tables import order, ranges, to_text  # noqa: E402

RECORDED = ROOT / "tests" / "recorded" / "trl_arguments"
# dataclasses of TRL's that its scripts parse beside the arguments
BESIDE = ("ModelConfig", "ScriptArguments", "DatasetMixtureConfig")
TABLE = ROOT / "plugins" / "dsbridge_trainer" / "trl.json"


def harvest() -> dict[str, Any]:
    """The public classes of an installed TRL that derive from TrainingArguments."""
    import trl

    classes: dict[str, Any] = {name: _beside(getattr(trl, name)) for name in BESIDE if hasattr(trl, name)}
    absent = []
    for name in _modules(Path(str(trl.__file__)).parent):
        try:
            module = importlib.import_module(name)
        except (ImportError, AttributeError, RuntimeError) as error:
            absent.append(f"{name}: {type(error).__name__}")
            continue
        for kind in _classes(module):
            classes.setdefault(kind.__name__, {"exported": hasattr(trl, kind.__name__), **_row(kind)})
    version = importlib.metadata.version("trl")  # what 0.22.0 says of itself is "unknown"
    return {"version": version, "absent": absent, "classes": dict(sorted(classes.items())),
            "trainers": trainers(Path(str(trl.__file__)).parent)}  # fmt: skip


def trainers(folder: Path) -> dict[str, list[str]]:
    """What each `...Trainer` takes, in the order of its constructor. Read, not imported: some need vLLM.

    "*": it takes anything; "!": it does not call Trainer's constructor, and prepares the model itself.
    """
    found: dict[str, list[str]] = {}
    for part in ("trainer", "experimental"):
        for path in sorted((folder / part).rglob("*_trainer.py")):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef) and node.name.endswith("Trainer"):
                    found.setdefault(node.name, list(_parameters(node)))
    return {name: names for name, names in sorted(found.items()) if "args" in names}


def _parameters(node: ast.ClassDef) -> Iterator[str]:
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            yield from (argument.arg for argument in item.args.args[1:])
            if item.args.kwarg or item.args.vararg:
                yield "*"
            if "super().__init__(" not in ast.unparse(item):
                yield "!"


def _beside(kind: type) -> dict[str, Any]:
    """A dataclass that TRL's scripts parse beside the arguments."""
    return {"exported": True, "module": kind.__module__, "fields": rows_of(kind), "fills": {}}


def _modules(folder: Path) -> Iterator[str]:
    """`trl.trainer.sft_config` first: an experimental class of the same name is not what `trl` gives."""
    for part in ("trainer", "experimental"):
        for path in sorted((folder / part).rglob("*_config.py")):
            yield ".".join(("trl", *path.relative_to(folder).with_suffix("").parts))


def _classes(module: Any) -> Iterator[type]:
    from transformers import TrainingArguments

    for name, kind in vars(module).items():
        own = isinstance(kind, type) and kind.__module__ == module.__name__
        if own and issubclass(kind, TrainingArguments) and not name.startswith("_"):
            yield kind


def _lineage(kind: type) -> list[type]:
    """The classes of TRL that it is made of, itself first."""
    return [base for base in kind.__mro__ if base.__module__.startswith("trl.")]


def _row(kind: type) -> dict[str, Any]:
    """Declared fields, and the assignments that __post_init__ makes to TrainingArguments' own."""
    from transformers import TrainingArguments

    rows = rows_of(kind)
    declared = {name for base in _lineage(kind) for name in inspect.get_annotations(base)}
    fills: dict[str, str] = {}
    for base in _lineage(kind):
        for name, text in _fills(base):
            if name in TrainingArguments.__dataclass_fields__:
                fills.setdefault(name, text)
    return {
        "module": kind.__module__,
        "fields": {name: row for name, row in rows.items() if name in declared},
        "fills": dict(sorted(fills.items())),
    }


def _fills(kind: type) -> Iterator[tuple[str, str]]:
    """`self.bf16 = not self.fp16 if self.bf16 is None else self.bf16` of the class's own __post_init__."""
    if "__post_init__" not in kind.__dict__:
        return
    source = textwrap.dedent(inspect.getsource(kind.__dict__["__post_init__"]))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
            yield node.targets[0].attr, ast.unparse(node.value)


def merged() -> dict[str, Any]:
    """The table of all releases."""
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in RECORDED.glob("*.json")}
    versions = sorted(found, key=order)
    names = sorted({name for row in found.values() for name in row["classes"]})
    return {
        "generated_by": "tools/harvest_trl.py merge",
        "versions": versions,
        "beside": list(BESIDE),
        "trainers": _trainers({v: found[v]["trainers"] for v in versions}),
        **{name: _class({v: found[v]["classes"].get(name) for v in versions}) for name in names},
    }


def _trainers(rows: dict[str, Any]) -> dict[str, Any]:
    names = sorted({name for row in rows.values() for name in row})
    return {n: ranges({v: row[n] for v, row in rows.items() if n in row}, list(rows)) for n in names}


def _class(rows: dict[str, Any]) -> dict[str, Any]:
    """One class: `in` says which releases have it, and whether `from trl import` gives it."""
    have = {version: row for version, row in rows.items() if row is not None}
    versions = list(rows)
    fields = dict.fromkeys(n for version in reversed(have) for n in have[version]["fields"])
    fills = dict.fromkeys(n for row in have.values() for n in row["fills"])
    return {
        "in": ranges({v: row["exported"] for v, row in have.items()}, versions),
        "fills": {
            n: ranges({v: r["fills"][n] for v, r in have.items() if n in r["fills"]}, versions) for n in fills
        },
        **{
            f"+{n}": ranges({v: r["fields"][n] for v, r in have.items() if n in r["fields"]}, versions)
            for n in fields
        },
    }


def main() -> None:
    """Harvest one release, or merge all."""
    parser = argparse.ArgumentParser(description="Harvest TRL's classes of arguments.")
    parser.add_argument("what", choices=("harvest", "merge"))
    parser.add_argument("--out", type=Path, default=RECORDED)
    options = parser.parse_args()
    if options.what == "merge":
        TABLE.write_text(to_text(merged()), encoding="utf-8")
        return
    found = harvest()
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / f"{found['version']}.json").write_text(to_text(found), encoding="utf-8")
    print(found["version"], len(found["classes"]), "classes; not imported:", found["absent"])


if __name__ == "__main__":
    main()
