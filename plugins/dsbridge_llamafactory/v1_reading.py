"""What LLaMA-Factory's V1 reads: its YAML or words, and the ds_config that `dist_config` names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dsbridge.rulebook import (
    Files,
    Places,
    Reading,
    Setup,
    Unknown,
    Words,
    json_error,
    numbers,
    sources_of,
    together,
    unread,
)
from dsbridge.sdk import Diagnostic, Source
from dsbridge_llamafactory import v1_table as table
from dsbridge_llamafactory.codes import V1_VERSION
from dsbridge_llamafactory.omega import Settings, override, read_settings
from dsbridge_llamafactory.reading import distributed, model_config
from dsbridge_llamafactory.v1_inputs import COMMANDS, MODULES, enabled
from dsbridge_llamafactory.v1_moments import PLAIN, SHARDED, WITHOUT
from dsbridge_trainer.config import typed
from dsbridge_trainer.flags import Bad, Option, parse

_KINDS = {"list": "+", "bool": "?"}


def read(setup: Setup) -> Reading:
    """Trees: lf (as given), v1 (as V1's dataclasses have it), ds, input, run, and Accelerate's own."""
    command, words = _words(setup)
    settings, kind, unused = _settings(setup, words)
    lf = _opened(settings.values)
    extra = enabled(setup.environ.get("ALLOW_EXTRA_KEYS", "0"))
    trees: dict[str, Any] = {
        "lf": lf,
        "v1": {"command": command, **_arguments(lf)},
        "input": {"kind": kind, "keys": sorted(lf), "unused": unused, "extra_allowed": extra},
        "run": {"distributed": distributed(setup)},
        "env": dict(setup.environ),
    }
    if isinstance(trees["run"]["distributed"], Unknown):
        trees["env"]["RANK"] = trees["run"]["distributed"]  # torchrun's, if torchrun is started
    if settings.problem:
        trees["input"]["problem"] = dict(settings.problem)
    sources: Mapping[str, Source] = Places(
        lambda: {f"{root}.{path}": at for root in ("lf", "v1") for path, at in settings.sources.items()}
    )
    dist = trees["v1"].get("dist_config")
    program = WITHOUT
    if isinstance(dist, dict) and dist.get("name") == "deepspeed":
        found, places = _config(dist.get("config_file"), setup.files)
        trees |= found
        sources = together(sources, places)
        three = _stage(found.get("ds")) == 3
        program = SHARDED if three else PLAIN
        trees |= _engine(trees, three)
        model = model_config(lf.get("model"), setup.files)
        trees["model"] = {"hidden_size": unread("model.hidden_size")} if model is None else model
    return Reading(trees, sources, {}, tuple(_told(setup)), program)


def _told(setup: Setup) -> list[Diagnostic]:
    version = setup.versions.get("llamafactory", table.NEWEST)
    if numbers(version) >= numbers(table.SINCE):
        return []
    message = f"LLaMA-Factory {version} has no V1 that trains: what is said here is of {table.SINCE}"
    return [V1_VERSION(message, hint=f"Install llamafactory {table.SINCE} or newer.")]


def _words(setup: Setup) -> tuple[str, Words]:
    """The sub-command, and the words that its arguments are in."""
    words = setup.words
    if words.items[:1] == ("-m",):
        direct = words.items[1] != MODULES[0]
        words = words.after(2)
        if direct:
            return "sft", words
    else:
        words = words.after(1)
    if words.items and words.items[0] in COMMANDS:
        return words.items[0], words.after(1)
    return "sft", words


def _settings(setup: Setup, words: Words) -> tuple[Settings, str, list[str]]:
    """The settings, how they were given, and the words nobody takes: config/arg_parser.py get_args."""
    if not words.items:
        return Settings({}, {}, {}), "flags", []
    first = words.items[0]
    if first.endswith((".yaml", ".yml", ".json")):
        if not setup.files.has(first):
            gone = {"type": "FileNotFoundError", "message": "…No such file or directory…", "file": first}
            return Settings({}, {}, {}, gone), "yaml", []
        settings = read_settings(setup.files, first)
        kind = "json" if first.endswith(".json") else "yaml"
        return override(settings, words.after(1)), kind, []
    return _flags(words, setup.versions.get("llamafactory", table.NEWEST))


def _flags(words: Words, version: str) -> tuple[Settings, str, list[str]]:
    """`--name value` words. Argparse cannot make a mapping of any text."""
    rows = table.arguments(version)
    options = tuple(
        Option(name, row.kind, _KINDS.get(row.kind, ""), row.choices, no=row.default is True)
        for name, row in rows.items()
    )
    try:
        found = parse(words.items, options)
    except Bad as error:
        return _wrong(str(error)), "flags", []
    for name in table.CONFIGS:
        if name in found.values:
            dashed = f"--{name}/--{name.replace('_', '-')}"
            return (
                _wrong(f"argument {dashed}: invalid PluginConfig value: '{found.values[name]}'"),
                "flags",
                [],
            )
    places = {name: words.source(index) for name, index in found.places.items()}
    return Settings(found.values, places, found.values), "flags", found.left


def _wrong(message: str) -> Settings:
    problem = {"type": "SystemExit", "message": f"launcher.py: error: {message}"}
    return Settings({}, {}, {}, problem)


def _opened(given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, with JSON texts of mappings as the mappings they are."""
    found = dict(given)
    for name in table.CONFIGS:
        value = found.get(name)
        if isinstance(value, str) and value.startswith("{") and not json_error(value):
            found[name] = json.loads(value)
    return found


def _arguments(lf: Mapping[str, Any]) -> dict[str, Any]:
    """What the dataclasses keep: get_plugin_config turns texts inside a mapping into numbers."""
    found: dict[str, Any] = {key: value for key, value in lf.items() if value is not None}
    for name in table.CONFIGS:
        value = found.get(name)
        if isinstance(value, str) and value.startswith("{"):
            wrong = {"type": "JSONDecodeError", "message": json_error(value), "in": name}
            found.setdefault("problem", wrong)
            continue
        if isinstance(value, Mapping):
            found[name] = typed(dict(value))
            if "name" not in value:
                found.setdefault("nameless", name)
        elif value is not None:
            message = f"'{type(value).__name__}' object has no attribute 'items'"
            found.setdefault("problem", {"type": "AttributeError", "message": message, "in": name})
    return found


def _config(named: Any, files: Files) -> tuple[dict[str, Any], Mapping[str, Source]]:
    """The file of `config_file`, by json.load: the tree ds, or how V1 stops."""
    if not named:
        return {}, {}
    if not isinstance(named, str) or not files.has(named):
        message = f"[Errno 2] No such file or directory: '{named}'"
        return {"dsfile": {"problem": {"type": "FileNotFoundError", "message": message}}}, {}
    wrong = json_error(files.text(named))
    if wrong:
        return {"dsfile": {"problem": {"type": "JSONDecodeError", "message": wrong}}}, {}
    document = files.json(named)
    if not isinstance(document.value, dict):
        return {"dsfile": {"problem": {"type": "TypeError", "message": "…"}}}, {}
    return {"ds": document.value}, sources_of(document, "ds")


def _stage(ds: Any) -> Any:
    zero = ds.get("zero_optimization") if isinstance(ds, dict) else None
    return zero.get("stage") if isinstance(zero, dict) else None


def _engine(trees: Mapping[str, Any], three: bool) -> dict[str, Any]:
    """The Accelerator that V1's DeepSpeedEngine makes, and what it prepares: no DataLoader."""
    ds = trees.get("ds", {})
    steps, micro = "gradient_accumulation_steps", "train_micro_batch_size_per_gpu"
    return {
        "plugin": {"built": True, "asked": {}},
        "open": {name: ds.get(name, "auto") == "auto" for name in (steps, micro)},
        "accelerator": {},
        "prepared": {
            "model": {"config": True, "sharded": three},
            "optimizer": {"class": "torch.AdamW"},
            "scheduler": {"class": "torch.LambdaLR", "name": "LambdaLR"},
            "loaders": [],
        },
    }
