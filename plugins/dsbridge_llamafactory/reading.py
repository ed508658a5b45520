"""What LLaMA-Factory reads: its training YAML or words, the ds_config they name, the index of datasets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from dsbridge.rulebook import Files, Places, Reading, Setup, Unknown, json_error, together, unread
from dsbridge.sdk import Source
from dsbridge_llamafactory.flags import NEWEST, names, read_flags
from dsbridge_llamafactory.inputs import program_of
from dsbridge_llamafactory.omega import Settings, override, read_settings
from dsbridge_llamafactory.under_accelerate import trees_of
from dsbridge_trainer import config

_TRUE = ("true", "y", "1")
_MEGATRON = {"tensor_model_parallel_size", "pipeline_model_parallel_size"}


def read(setup: Setup) -> Reading:
    """Trees: lf, args (the same, of TrainingArguments alone), given, input, run, index, model, env."""
    settings, kind, unused = _settings(setup)
    lf = settings.values
    extra: Any = setup.environ.get("ALLOW_EXTRA_ARGS", "0").lower() in _TRUE
    if not extra and _MEGATRON & lf.keys() and (setup.assumed or "USE_MCA" in setup.environ):
        extra = unread("env.USE_MCA")  # with it another package's arguments are taken too (parser.py:63)
    trees: dict[str, Any] = {
        "lf": lf,
        "args": _training(lf),
        "input": {"kind": kind, "keys": sorted(lf), "unused": unused, "extra_allowed": extra},
        "run": {"distributed": distributed(setup)},
        "env": dict(setup.environ),
    }
    if not lf and kind == "yaml":
        trees["input"]["empty"] = True
    if settings.problem:
        trees["input"]["problem"] = dict(settings.problem)
    if settings.older != lf and kind == "yaml":
        trees["older"] = {"args": _training(settings.older)}
        if isinstance(settings.older.get("deepspeed"), dict):
            trees["older"]["ds"] = settings.older["deepspeed"]
    launcher, around = trees_of(setup)
    trees |= launcher
    ds, places = _ds_config(lf, setup.files, settings.sources)
    trees |= ds
    reward = lf.get("reward_model")
    if isinstance(reward, str) and setup.files.has(f"{reward}/config.json"):
        trees["reward"] = {} if setup.files.has(f"{reward}/adapter_config.json") else {"absent": True}
    trees["index"] = index_of(lf, setup.files)
    model = model_config(lf.get("model_name_or_path"), setup.files)
    trees["model"] = {"hidden_size": unread("model.hidden_size")} if model is None else model
    trees["script"] = {
        "trains": True,  # LF233 takes the config away where nothing is
        "data": {"given": True},
        "eval_dataset": bool(lf.get("eval_dataset") or lf.get("val_size")),
        "model": {"way": "from_pretrained", "first": False},
    }
    trees["prepared"] = {"model": {"config": True}}
    own = Places(lambda: {f"{root}.{p}": at for root in ("lf", "args") for p, at in settings.sources.items()})
    return Reading(trees, together(own, around, places), {})


def _ds_config(
    lf: Mapping[str, Any], files: Files, sources: Mapping[str, Source]
) -> tuple[dict[str, Any], Mapping[str, Source]]:
    """`deepspeed:` as a path, a mapping or JSON text: the tree ds, or how reading it ends."""
    value = lf.get("deepspeed")
    if not value:
        return {}, {}
    if isinstance(value, list):
        message = "stat: path should be string, bytes, os.PathLike or integer, not list"
        return {"dsfile": {"problem": {"type": "TypeError", "message": message}}}, {}
    found = config.read(value, files, lambda: sources.get("deepspeed"))
    if found.problem is not None:
        return {"dsfile": {"problem": found.problem}}, {}
    if not isinstance(found.ds, dict | Unknown):
        message = f"'{type(found.ds).__name__}' object has no attribute 'get'"
        return {"dsfile": {"problem": {"type": "AttributeError", "message": message}}}, {}
    start = "deepspeed."
    inside = Places(
        lambda: {f"ds.{p.removeprefix(start)}": at for p, at in sources.items() if p.startswith(start)}
    )
    return {"ds": found.ds}, together(found.sources, inside)


def _training(lf: Mapping[str, Any]) -> dict[str, Any]:
    known = names("training")
    return {key: value for key, value in lf.items() if key in known}


def distributed(setup: Setup) -> Any:
    """Whether a launcher gives the process a rank."""
    cli = setup.trees.get("cli")
    if cli is not None:
        alone = cli["alone"]
        return (not alone) if isinstance(alone, bool) else alone
    return "LOCAL_RANK" in setup.environ


def _settings(setup: Setup) -> tuple[Settings, str, list[str]]:
    """The settings, how they were given, and the words nobody takes."""
    program, literal = program_of(setup)
    if literal is not None:
        sources = {key: Source(setup.words.items[0]) for key in literal}
        return Settings(literal, sources, literal), "dict", []
    if not program.items:
        return Settings({}, {}, {}), "none", []
    first = program.items[0]
    if first.endswith((".yaml", ".yml", ".json")):
        settings, kind = _file(setup.files, first), "json" if first.endswith(".json") else "yaml"
        return override(settings, program.after(1)), kind, []
    version = setup.versions.get("transformers", "5.6.0")
    own = setup.versions.get("llamafactory", NEWEST)
    flags = read_flags(program, PurePath(setup.words.items[0]).name, version, own)
    problem = flags.problem
    return Settings(flags.values, flags.sources, flags.values, problem), "flags", flags.unused


def _file(files: Files, name: str) -> Settings:
    if not files.has(name):
        gone = {"type": "FileNotFoundError", "message": "…No such file or directory…", "older": True}
        return Settings({}, {}, {}, {**gone, "file": name})
    return read_settings(files, name)


def index_of(lf: Mapping[str, Any], files: Files) -> dict[str, Any]:
    """What dataset_info.json says of the datasets; nothing where there is no such file here."""
    folder, wanted = lf.get("dataset_dir", "data"), lf.get("dataset")
    if not isinstance(folder, str) or not isinstance(wanted, str):
        return {}
    path = f"{folder}/dataset_info.json"
    if not files.has(path):
        return {}
    text = files.text(path)
    problem = json_error(text)
    if problem:
        return {"file": path, "problem": problem}
    table = json.loads(text)
    evaluated = lf.get("eval_dataset")
    names_of = [name.strip() for name in wanted.split(",")]
    later = [name.strip() for name in evaluated.split(",")] if isinstance(evaluated, str) else []
    for name in [*names_of, *later]:
        if not isinstance(table, dict) or not isinstance(table.get(name), dict):
            return {"file": path, "undefined": name}
    rows = [table[name] for name in names_of]
    found: dict[str, Any] = {"file": path, "ranking": bool(rows[0].get("ranking", False))}
    own = [row["file_name"] for row in rows if "file_name" in row]
    found["local"] = bool(own) and "hf_hub_url" not in rows[0]
    absent = [f"{folder}/{name}" for name in own if not files.has(f"{folder}/{name}")]
    # rows are often kept elsewhere than where this is read: only beside rows that are here is one missed
    if absent and len(absent) < len(own) + _present(table, folder, files):
        found["absent"] = absent[0]
    return found


def _present(table: Mapping[str, Any], folder: str, files: Files) -> int:
    kept = [row.get("file_name") for row in table.values() if isinstance(row, dict)]
    return sum(1 for name in kept if isinstance(name, str) and files.has(f"{folder}/{name}"))


def model_config(name: Any, files: Files) -> dict[str, Any] | None:
    """config.json of a local model."""
    if not isinstance(name, str) or not files.has(f"{name}/config.json"):
        return None
    try:
        value = json.loads(files.text(f"{name}/config.json"))
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
