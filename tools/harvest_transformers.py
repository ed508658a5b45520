"""Harvest TrainingArguments from the real packages: names, order, types, defaults, enums, what is deprecated.

    .nox/conformance-hf/bin/python tools/harvest_transformers.py harvest --out FOLDER
    python tools/harvest_transformers.py add FOLDER
    python tools/harvest_transformers.py older FOLDER

`harvest` runs with the Python of an environment that has transformers and writes what that version has into
FOLDER/VERSION.json; `add` puts such files into `plugins/dsbridge_trainer/arguments.json`, the table that
dsbridge reads, and keeps the versions that are in it already. The table loses nothing: `rebuilt` gives each
harvest back. `older` reads the sources in a folder of wheels of releases before those, and writes what the
table no longer has: each name with the release that dropped it, and what the last one that had it said of
it. `python -m tools.harvest_releases transformers` does the first two for every release.
"""

from __future__ import annotations

import argparse
import dataclasses
import enum
import inspect
import math
import re
import sys
import typing
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT)]

from tools.deprecations import deprecations, fields_of  # noqa: E402
from tools.tables import at, fate, named, order, ranges, run_harvester, unnamed, wheels_before  # noqa: E402

TABLE = ROOT / "plugins" / "dsbridge_trainer" / "arguments.json"
ENUMS = ("OptimizerNames", "SchedulerType", "IntervalStrategy", "SaveStrategy", "HubStrategy", "FSDPOption")

_FSDP_READ = re.compile(
    r"""\bfsdp_config(?:\.get\(|\.pop\(|\[)\s*["'](\w+)["']|["'](\w+)["'] in self\.fsdp_config"""
)


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
    from transformers import Seq2SeqTrainingArguments, TrainingArguments, trainer_utils, training_args

    enums = {}
    for name in ENUMS:
        found = getattr(training_args, name, None) or getattr(trainer_utils, name, None)
        if found is not None:
            enums[name] = [item.value for item in found]
    valid = getattr(TrainingArguments, "_VALID_DICT_FIELDS", None) or getattr(
        training_args, "_VALID_DICT_FIELDS", []
    )
    names = [field.name for field in dataclasses.fields(TrainingArguments)]
    return {
        "version": transformers.__version__,
        "fields": rows_of(TrainingArguments),
        "seq2seq": {n: row for n, row in rows_of(Seq2SeqTrainingArguments).items() if n not in names},
        "enums": enums,
        "dict_fields": sorted(valid),
        "nested": nested(training_args),
        "unknown": unknown(TrainingArguments),
        "deprecated": deprecations(inspect.getsource(training_args), names, helps_of(TrainingArguments)),
    }


def nested(module: Any) -> dict[str, dict[str, Any]]:
    """The keys of the arguments that are mappings: `accelerator_config.x`, `fsdp_config.x` as it is read."""
    from transformers.trainer_pt_utils import AcceleratorConfig

    found = {f"accelerator_config.{name}": row for name, row in rows_of(AcceleratorConfig).items()}
    files = (Path(str(module.__file__)).with_name(name) for name in ("training_args.py", "trainer.py"))
    source = "".join(file.read_text(encoding="utf-8") for file in files)
    for name in sorted({a or b for a, b in _FSDP_READ.findall(source)}):
        found[f"fsdp_config.{name}"] = {"kind": "any"}
    return found


def unknown(kind: Any) -> dict[str, str]:
    """What becomes of a name that is no argument, by where it stands."""
    from transformers import HfArgumentParser

    base = {"output_dir": "out", "use_cpu": True}
    words = ["--output_dir", "out", "--use_cpu"]
    parser = HfArgumentParser(kind)
    odd = {"no_such_name": 1}
    return {
        "keywords": fate(lambda given: kind(**given), base, base | odd),
        "flags": fate(parser.parse_args_into_dataclasses, words, [*words, "--no_such_name", "1"]),
        "dict": fate(parser.parse_dict, base, base | odd),
        "accelerator_config": fate(
            lambda given: kind(**base, accelerator_config=given), {"even_batches": True}, odd
        ),
        "fsdp_config": fate(lambda given: kind(**base, fsdp_config=given), {"min_num_params": 0}, odd),
    }


def helps_of(kind: type) -> dict[str, str]:
    """The help of each field of a dataclass."""
    return {f.name: str(f.metadata.get("help", "")) for f in dataclasses.fields(kind)}  # type: ignore[arg-type]


def merged(found: dict[str, Any]) -> dict[str, Any]:
    """The table of all versions."""
    versions = sorted(found, key=order)
    fields = named({v: found[v]["fields"] for v in versions}, versions)
    places = {name: place for place, name in enumerate(fields)}
    return {
        "generated_by": "tools/harvest_transformers.py add",
        "versions": versions,
        # the order that the constructor takes them in, as places in "fields"
        "order": ranges({v: [places[name] for name in found[v]["fields"]] for v in versions}, versions),
        "fields": fields,
        "enums": named({v: found[v]["enums"] for v in versions}, versions),
        "dict_fields": ranges({v: found[v]["dict_fields"] for v in versions}, versions),
        **{
            part: named({v: found[v][part] for v in versions}, versions)
            for part in ("seq2seq", "nested", "unknown", "deprecated")
        },
    }


def rebuilt(table: dict[str, Any], version: str) -> dict[str, Any]:
    """What was harvested of a version that the table has."""
    names = list(table["fields"])
    return {
        "version": version,
        "fields": {names[n]: at(table["fields"][names[n]], version) for n in at(table["order"], version)},
        "enums": unnamed(table["enums"], version),
        "dict_fields": at(table["dict_fields"], version),
        **{part: unnamed(table[part], version) for part in ("seq2seq", "nested", "unknown", "deprecated")},
    }


def older(folder: Path, table: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Arguments of releases before the table's, from their sources: `until`, and what was said of them."""
    found: dict[str, dict[str, str]] = {}
    first = table["versions"][0]
    for archive, following in wheels_before(folder, "transformers", first):
        source = archive.read("transformers/training_args.py").decode()
        names = fields_of(source, "TrainingArguments")
        said = deprecations(source, names, names)
        found |= {name: {"until": following, **said.get(name, {})} for name in names}
    known = set(rebuilt(table, first)["fields"])
    return {name: row for name, row in sorted(found.items()) if name not in known}


def add(table: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """The table with more harvests."""
    return merged({version: rebuilt(table, version) for version in table["versions"]} | found)


if __name__ == "__main__":
    run_harvester(TABLE, harvest, add, older)
