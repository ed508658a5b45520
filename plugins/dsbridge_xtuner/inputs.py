"""The trees of a run of tools/train.py: `cfg`, `ds`, and for the Trainer's way `args`, `script`, `model`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dsbridge.rulebook import Setup, Unknown, copied, json_error, sources_of, unread
from dsbridge.sdk import InputError, Source
from dsbridge_xtuner import training
from dsbridge_xtuner.configs import read_config
from dsbridge_xtuner.flags import Flags
from dsbridge_xtuner.merging import Refused, merge, nested

_STRATEGY = ("zero_optimization", "gradient_clipping", "fp16", "bf16", "amp", "activation_checkpointing",
             "aio", "gradient_accumulation_steps", "steps_per_print", "sequence_parallel_size")  # fmt: skip


def word_places(setup: Setup, count: int) -> dict[str, Source]:
    """Where each flag stands in the command."""
    found: dict[str, Source] = {}
    for index, word in enumerate(setup.words.items[count:], count):
        if word.startswith("--"):
            name = word[2:].partition("=")[0].replace("-", "_")
            found[f"flags.{name}"] = setup.words.source(index)
        elif index == count:
            found["flags.config"] = setup.words.source(index)
    return found


class Inputs:
    """Reads what the flags name."""

    def __init__(self, setup: Setup, count: int, flags: Flags) -> None:
        self.setup, self.flags = setup, flags
        self.count = count
        self.sources = word_places(setup, count)

    def config(self, trees: dict[str, Any]) -> None:
        """`cfg`, with the options merged into it; how that ends, if it fails."""
        name = self.flags.values["config"]
        files = self.setup.files
        if files.has(name):
            found = read_config(files, name, self.setup.environ)
            cfg = found.tree
            self.sources |= found.sources
            if found.problem:
                trees["config"] = {"problem": found.problem}
        else:
            shipped = training.shipped_config(name)
            if shipped is None:
                trees["config"] = {"missing": True}
                return
            cfg = shipped
        try:
            trees["cfg"] = merge(nested(self.flags.options), cfg)
        except Refused as end:
            trees["cfg"] = cfg
            problem = {"type": end.kind, "message": end.message, "fields": [end.path]}
            trees["options"] = {"problem": problem}
        if self.flags.options:
            trees["flags"]["cfg_options"] = dict(self.flags.options)
        self._option_places()

    def _option_places(self) -> None:
        """A value that an option gives stands in the command."""
        items = self.setup.words.items
        for index in range(self.count, len(items)):
            key, equals, _ = items[index].partition("=")
            if equals and key in self.flags.options:
                self.sources[f"cfg.{key}"] = self.setup.words.source(index)
                self.sources[f"flags.cfg_options.{key}"] = self.setup.words.source(index)

    def deepspeed(self, trees: dict[str, Any]) -> None:
        """`ds` from --deepspeed, `own` from a strategy in the config; and whether --resume is there."""
        resume, files = self.flags.values.get("resume"), self.setup.files
        if resume and not (files.has(str(resume)) or files.is_folder(str(resume))):
            trees["flags"]["resume_missing"] = True
        name = self.flags.values.get("deepspeed")
        if name:
            self._file(trees, str(name))
        strategy = trees.get("cfg", {}).get("strategy")
        if isinstance(strategy, Mapping) and _is_deepspeed(strategy.get("type")):
            trees["own"] = self._own(strategy)

    def _file(self, trees: dict[str, Any], name: str) -> None:
        problem, value = self._json(name)
        if problem:
            trees["dsfile"] = {"problem": problem}
        elif not isinstance(value, dict):
            kind = "NoneType" if value is None else type(value).__name__
            message = f"'{kind}' object has no attribute 'get'"
            trees["dsfile"] = {"problem": {"type": "AttributeError", "message": message}}
        else:
            trees["ds"] = value

    def _json(self, name: str) -> tuple[dict[str, str] | None, Any]:
        """A file, else a name that XTuner knows: the value, or how reading it ends."""
        files = self.setup.files
        if not files.has(name):
            shipped = training.shipped_deepspeed(name)
            if shipped is None:
                return {"type": "FileNotFoundError", "message": f"Cannot find {name}"}, None
            return None, shipped
        wrong = json_error(files.text(name))
        if wrong:
            return {"type": "JSONDecodeError", "message": wrong}, None
        document = files.json(name)
        self.sources |= sources_of(document, "ds")
        return None, document.value

    def _own(self, strategy: Mapping[str, Any]) -> dict[str, Any]:
        """A DeepSpeedStrategy that the config itself has."""
        config = strategy.get("config")
        value: Any = copied(config) if isinstance(config, Mapping | Unknown) else {}
        if isinstance(config, str):
            problem, value = self._json(config) if self.setup.files.has(config) else (None, unread("ds"))
            if problem or not isinstance(value, dict):
                value = unread("ds")
        own = {key: strategy[key] for key in _STRATEGY if strategy.get(key) is not None}
        kind = strategy["type"]
        of_xtuner = isinstance(kind, Mapping) and str(kind["name"]).startswith("xtuner.")
        return {"config": value, "arguments": own, "kind": "xtuner" if of_xtuner else "mmengine"}

    def huggingface(self, trees: dict[str, Any]) -> None:
        """What the Trainer's rules read: tools/train.py:163-232."""
        from dsbridge_trainer import config

        cfg = trees["cfg"]
        given = cfg.get("training_args")
        args = (
            {key: value for key, value in given.items() if key != "type"} if isinstance(given, dict) else {}
        )
        flags = self.flags.values
        if "seed" in flags:
            args["seed"] = flags["seed"]
        args.setdefault("output_dir", "work_dirs")
        if flags.get("work_dir"):
            args["output_dir"] = flags["work_dir"]
        for key in args:
            place = self.sources.get(f"cfg.training_args.{key}")
            if place:
                self.sources[f"args.{key}"] = place
        name = flags.get("deepspeed")
        if name:
            self._chosen(trees, args, str(name))
        elif args.get("deepspeed"):
            found = config.read(
                args["deepspeed"], self.setup.files, lambda: self.sources.get("args.deepspeed")
            )
            trees |= {"dsfile": {"problem": found.problem}} if found.problem else {"ds": found.ds}
            self.sources |= found.sources
        trees["args"] = args
        trees["script"] = {
            "trains": True,
            "data": {"given": True},
            "eval_dataset": False,
            "model": {"way": "from_pretrained", "first": False, "init": False},
        }
        trees["model"] = self._model(cfg)
        trees["prepared"] = {"model": {"config": True}}

    def _chosen(self, trees: dict[str, Any], args: dict[str, Any], name: str) -> None:
        """--deepspeed takes the place of training_args.deepspeed."""
        args["deepspeed"] = name
        problem, value = self._json(name)
        if problem and problem["type"] == "FileNotFoundError":
            trees["named"] = {"problem": problem}
        elif problem:
            trees["dsfile"] = {"problem": problem}
        else:
            trees["ds"] = value

    def _model(self, cfg: Mapping[str, Any]) -> Any:
        """config.json of the model, if it is a folder here."""
        model = cfg.get("model")
        path = model.get("pretrained_model_name_or_path") if isinstance(model, Mapping) else None
        name = f"{path}/config.json"
        if not isinstance(path, str) or not self.setup.files.has(name):
            return {"hidden_size": unread("model.hidden_size")}
        try:
            found = json.loads(self.setup.files.text(name))
        except (ValueError, InputError):
            return {"hidden_size": unread("model.hidden_size")}
        return found if isinstance(found, dict) else {}


def _is_deepspeed(kind: Any) -> bool:
    """The class's name: mmengine runner/_flexible_runner.py:640-644."""
    if isinstance(kind, Mapping):
        kind = kind.get("class")
    return isinstance(kind, str) and kind.rpartition(".")[2] == "DeepSpeedStrategy"
