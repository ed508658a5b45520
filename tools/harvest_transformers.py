"""Harvest TrainingArguments from the real packages: names, order, types, defaults, and the enums behind them.

    .nox/conformance-hf/bin/python tools/harvest_transformers.py harvest
    python tools/harvest_transformers.py merge

`harvest` runs with the Python of an environment that has transformers and writes what that version has;
`merge` writes `plugins/dsbridge_trainer/arguments.json`, the table that dsbridge reads: each row with the
versions it holds in (`since` included, `until` excluded, "" for no bound).
"""

from __future__ import annotations

import argparse
import dataclasses
import enum
import json
import math
import typing
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RECORDED = ROOT / "tests" / "recorded" / "training_arguments"
TABLE = ROOT / "plugins" / "dsbridge_trainer" / "arguments.json"
ENUMS = ("OptimizerNames", "SchedulerType", "IntervalStrategy", "SaveStrategy", "HubStrategy", "FSDPOption")


def plain(value: Any) -> Any:
    """As JSON can say it; an enum is its value."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str | list | dict) else str(value)


def kind_of(action: argparse.Action) -> str:
    """What argparse makes of a word: text, int, float, bool, or one of the choices."""
    name = getattr(action.type, "__name__", str(action.type))
    if action.choices:
        return "choice"
    known = {"str": "text", "int": "int", "float": "float", "string_to_bool": "bool", "dict": "dict"}
    return known.get(name, "text")


def rows_of(kind: type) -> dict[str, dict[str, Any]]:
    """The fields of a dataclass of arguments as HfArgumentParser offers them."""
    from transformers import HfArgumentParser

    actions: dict[str, argparse.Action] = {}
    no = []
    for action in HfArgumentParser(kind)._actions:  # type: ignore[arg-type]
        if action.dest in actions:
            no.append(action.dest)  # the --no_x beside --x
        actions.setdefault(action.dest, action)
    hints = typing.get_type_hints(kind)
    found = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        if field.init:
            row = row_of(field, actions[field.name])
            if field.name in no:
                row["no"] = True
            if hints[field.name] is bool:
                row["kind"] = "bool"
            found[field.name] = row
    return found


def row_of(field: dataclasses.Field[Any], action: argparse.Action) -> dict[str, Any]:
    """One field and its option."""
    row: dict[str, Any] = {"kind": kind_of(action)}
    if field.default is not dataclasses.MISSING:
        row["default"] = plain(field.default)
    elif field.default_factory is not dataclasses.MISSING:
        row["default"] = plain(field.default_factory())
    else:
        row["required"] = True
    if action.choices:
        row["choices"] = [plain(choice) for choice in action.choices]
    if action.nargs is not None:
        row["nargs"] = action.nargs
    aliases = [text for text in action.option_strings if text.lstrip("-").replace("-", "_") != field.name]
    if aliases:
        row["aliases"] = aliases
    return row


def harvest() -> dict[str, Any]:
    """The fields of TrainingArguments, and the enums behind them."""
    import transformers
    from transformers import TrainingArguments, trainer_utils, training_args

    enums = {}
    for name in ENUMS:
        found = getattr(training_args, name, None) or getattr(trainer_utils, name, None)
        if found is not None:
            enums[name] = [item.value for item in found]
    valid = getattr(TrainingArguments, "_VALID_DICT_FIELDS", None) or getattr(
        training_args, "_VALID_DICT_FIELDS", []
    )
    return {
        "version": transformers.__version__,
        "fields": rows_of(TrainingArguments),
        "enums": enums,
        "dict_fields": sorted(valid),
    }


def order(version: str) -> tuple[int, ...]:
    """The numbers of a version."""
    return tuple(int(part) for part in version.split("."))


def ranges(rows: dict[str, Any], versions: list[str]) -> list[dict[str, Any]]:
    """One row for each run of versions in which it is the same."""
    found: list[dict[str, Any]] = []
    last: Any = None
    for version in versions:
        row = rows.get(version)
        if row != last:
            if last is not None:
                found[-1]["until"] = version
            if row is not None:
                found.append({"value": row, "since": version, "until": ""})
        last = row
    if found and found[0]["since"] == versions[0]:
        found[0]["since"] = ""
    return found


def merged() -> dict[str, Any]:
    """The table of all versions."""
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in RECORDED.glob("*.json")}
    versions = sorted(found, key=order)
    names = dict.fromkeys(name for version in reversed(versions) for name in found[version]["fields"])
    enums = dict.fromkeys(name for version in versions for name in found[version]["enums"])
    return {
        "generated_by": "tools/harvest_transformers.py merge",
        "versions": versions,
        "order": {version: list(found[version]["fields"]) for version in versions},
        "fields": {
            name: ranges({v: f["fields"][name] for v, f in found.items() if name in f["fields"]}, versions)
            for name in names
        },
        "enums": {
            name: ranges({v: f["enums"][name] for v, f in found.items() if name in f["enums"]}, versions)
            for name in enums
        },
        "dict_fields": ranges({v: f["dict_fields"] for v, f in found.items()}, versions),
    }


def to_text(table: dict[str, Any]) -> str:
    """JSON with one field a line."""
    blocks = []
    for key, value in table.items():
        if isinstance(value, dict):
            rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in value.items())
            blocks.append(f"{json.dumps(key)}: {{\n{rows}\n}}")
        else:
            blocks.append(f"{json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(blocks) + "\n}\n"


def main() -> None:
    """Harvest one version, or merge all."""
    parser = argparse.ArgumentParser(description="Harvest TrainingArguments.")
    parser.add_argument("what", choices=("harvest", "merge"))
    parser.add_argument("--out", type=Path, default=RECORDED)
    options = parser.parse_args()
    if options.what == "merge":
        TABLE.write_text(to_text(merged()), encoding="utf-8")
        return
    found = harvest()
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / f"{found['version']}.json").write_text(to_text(found), encoding="utf-8")


if __name__ == "__main__":
    main()
