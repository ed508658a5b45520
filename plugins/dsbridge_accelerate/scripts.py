"""A script's Accelerator, DeepSpeedPlugin and prepare() as the trees of the rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dsbridge.rulebook import (
    Attribute,
    CallSite,
    Loaded,
    Reading,
    Script,
    Setup,
    is_plain,
    read_with_files,
    trains_all,
    unread,
)
from dsbridge.sdk import Arguments, Source, read_arguments
from dsbridge_accelerate.dsfile import read_ds
from dsbridge_accelerate.objects import Objects
from dsbridge_accelerate.parallelism import parallelism_of
from dsbridge_accelerate.says import says

PLUGIN_FIELDS = (
    "hf_ds_config",
    "gradient_accumulation_steps",
    "gradient_clipping",
    "zero_stage",
    "is_train_batch_min",
    "offload_optimizer_device",
    "offload_param_device",
    "offload_optimizer_nvme_path",
    "offload_param_nvme_path",
    "zero3_init_flag",
    "zero3_save_16bit_model",
    "transformer_moe_cls_names",
    "enable_msamp",
    "msamp_opt_level",
)
_POSITIONS = {"mixed_precision": 2, "gradient_accumulation_steps": 3, "cpu": 4}
Trees = dict[str, Any]
Sources = dict[str, Source]


class Values:
    """What a call's arguments are worth, and where they stand."""

    def __init__(self, script: Script, arguments: Arguments | None, sources: Sources) -> None:
        self.script, self.sources = script, sources
        self.arguments: Mapping[str, Any] = arguments.values if arguments else {}

    def plain(self, value: Any, path: str) -> Any:
        """A literal, an argument of the script's own command line, or what only a run would give."""
        if isinstance(value, Attribute) and value.base.short in ("parse_args", "parse_known_args"):
            return self.arguments.get(value.name, unread(path))
        if isinstance(value, dict):
            return {key: self.plain(item, f"{path}.{key}") for key, item in value.items()}
        return value if is_plain(value) else unread(path)

    def take(self, call: CallSite, name: str, path: str, position: int | None = None) -> Any:
        """The argument's worth; None if it is not given."""
        value = call.argument(name, position)
        if value is None:
            return None
        self.sources[path] = call.place(self.script.file, name, position)
        return self.plain(value, path)


def read_trees(setup: Setup, name: str, trees: Trees) -> Reading:
    """Everything of the script that the rules ask about.

    Raises:
        InputError: absent, or no Python.
    """
    text = setup.files.text(name)
    words = setup.words.items[2 if setup.words.items[0] == "-m" else 1 :]
    script, loaded, arguments = _script(setup, text, name, words)
    sources: Sources = {}
    values = Values(script, arguments, sources)
    accelerator = next(iter(script.named("Accelerator")), None)
    if accelerator is None:
        return Reading(trees, sources)
    trees["accelerator"] = _accelerator(accelerator, values, setup)
    plugin = _plugin_call(accelerator)
    if plugin is not None:
        trees |= _plugin(plugin, values, setup, loaded)
        if isinstance(trees.get("ds"), dict) or "dsfile" in trees:
            trees.setdefault("dsfile", {})
    elif "ds" not in setup.trees and "dsfile" not in setup.trees:
        trees |= _from_environment(setup, values)
    objects = Objects(setup.files, text, values)
    trees |= objects.trees(script, accelerator)
    trees["says"] = says(script, values)
    if trains_all(text):
        trees["says"]["all"] = True
    if objects.assigned:
        trees["assigned"] = {"keys": objects.assigned}
    if arguments and arguments.error and arguments.before < accelerator.number:
        trees["script"] = {"problem": arguments.error}
    return Reading(trees, sources)


def _script(
    setup: Setup, text: str, name: str, words: Sequence[str]
) -> tuple[Script, tuple[Loaded, ...], Arguments | None]:
    """The script; a second time, if it opens a file that its own command line names."""
    script, loaded = read_with_files(text, name, setup.environ, setup.files.text)
    arguments = read_arguments(script, words)
    if arguments is not None:
        script, loaded = read_with_files(text, name, setup.environ, setup.files.text, arguments.values)
    return script, loaded, arguments


def _accelerator(call: CallSite, values: Values, setup: Setup) -> Trees:
    found: Trees = {}
    for name, position in _POSITIONS.items():
        value = values.take(call, name, f"accelerator.{name}", position)
        if value is not None:
            found[name] = value
    loading = call.argument("dataloader_config", 5)
    if isinstance(loading, CallSite):
        path = "accelerator.split_batches"
        found["split_batches"] = values.take(loading, "split_batches", path, 0) or False
    elif loading is not None:
        found["split_batches"] = unread("accelerator.split_batches")
    if "gradient_accumulation_steps" in found:
        found["asked_steps"] = found["gradient_accumulation_steps"]
    own = call.argument("gradient_accumulation_plugin")
    if own is not None:
        found |= _accumulation(own, values, "gradient_accumulation_steps" in found)
    parallelism = parallelism_of(call, values, setup.environ)
    return {**found, **({"parallelism": parallelism} if parallelism else {})}


def _accumulation(value: Any, values: Values, both: bool) -> Trees:
    """GradientAccumulationPlugin(num_steps=...)."""
    path = "accelerator.gradient_accumulation_steps"
    if both:
        return {"accumulation_plugin": True, "both": True}
    steps = values.take(value, "num_steps", path, 0) if isinstance(value, CallSite) else unread(path)
    return {"accumulation_plugin": True, "gradient_accumulation_steps": steps, "asked_steps": steps}


def _plugin_call(accelerator: CallSite) -> Any:
    """DeepSpeedPlugin(...), or the first of several."""
    value = accelerator.argument("deepspeed_plugins", accelerator.argument("deepspeed_plugin", 6) and None)
    if value is None:
        value = accelerator.argument("deepspeed_plugin", 6)
    return next(iter(value.values()), None) if isinstance(value, dict) else value


def _plugin(value: Any, values: Values, setup: Setup, loaded: Sequence[Loaded]) -> Trees:
    """Its arguments, and the config that it is given."""
    if not isinstance(value, CallSite) or value.short != "DeepSpeedPlugin":
        return {"plugin": {"built": unread("plugin.built")}}
    fields: Trees = {"built": True}
    strange = [name for name in value.keywords if name not in PLUGIN_FIELDS]
    if strange:
        fields["strange"] = strange[0]
    for position, name in enumerate(PLUGIN_FIELDS[1:], 1):
        found = values.take(value, name, f"plugin.{name}", position)
        if found is not None:
            fields[name] = found
    fields["asked"] = {key: item for key, item in fields.items() if key in PLUGIN_FIELDS}
    return {"plugin": fields, **_config(value, values, setup)}


def _config(call: CallSite, values: Values, setup: Setup) -> Trees:
    """hf_ds_config: a path or JSON, a dict, HfDeepSpeedConfig(...) of either."""
    value = call.argument("hf_ds_config", 0)
    if isinstance(value, CallSite) and value.short == "HfDeepSpeedConfig":
        call, value = value, value.argument("config_file_or_dict", 0)
    if isinstance(value, Attribute):
        value = values.plain(value, "dsfile.path")
    if value is None or (isinstance(value, str) and value == "none"):
        return _from_environment(setup, values) if value is None else {}
    if isinstance(value, str):
        return _opened(setup, value, values)
    if isinstance(value, dict):
        at = call.place(values.script.file, "hf_ds_config", 0)
        config = values.plain(value, "ds")
        values.sources |= {f"ds.{path}": at for path in _paths(config)}
        return {"ds": config}
    return {"ds": unread("ds")}


def _paths(value: Mapping[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key, item in value.items():
        found.append(f"{prefix}{key}")
        if isinstance(item, dict):
            found += _paths(item, f"{prefix}{key}.")
    return found


def _from_environment(setup: Setup, values: Values) -> Trees:
    """The file that `accelerate launch` has named, else ACCELERATE_DEEPSPEED_CONFIG_FILE."""
    if "ds" in setup.trees or "dsfile" in setup.trees:
        return {}
    named = setup.environ.get("ACCELERATE_DEEPSPEED_CONFIG_FILE", "none")
    return {} if named == "none" else _opened(setup, named, values)


def _opened(setup: Setup, named: str, values: Values) -> Trees:
    found = read_ds(setup.files, named)
    values.sources |= found.sources
    return {"dsfile": {"problem": found.problem}} if found.problem else {"ds": found.config}
