"""Whose file a file is, told from its content."""

from __future__ import annotations

from dsbridge.diagnostics import InputError
from dsbridge.inputs import read_input
from dsbridge.plugins import registry
from dsbridge.reading import Files
from dsbridge.subjects.dsfile import SURE, is_ds_config, read_plain
from dsbridge.subjects.unit import Unit


def is_lone_config(files: Files, name: str) -> bool:
    """A DeepSpeed config, by its keys."""
    if not name.endswith((".json", ".hjson")):
        return False
    try:
        value = files.json(name, comments=True).value
    except InputError:
        return False
    return isinstance(value, dict) and is_ds_config(value)


def is_broken_config(files: Files, name: str) -> bool:
    """A file that would be a DeepSpeed config if it were JSON."""
    if not name.endswith((".json", ".hjson")):
        return False
    text = files.text(name)
    return any(f'"{mark}"' in text for mark in SURE) and read_plain(text, name) is None


# a word without which no file of that kind is one of ours: most files of a folder are not, and reading a
# file takes a hundred times longer than looking for a word
_MARKS = {
    ".py": ("TrainingArguments", "Accelerator(", "deepspeed", "SFTConfig", "from trl", "mmengine", "xtuner"),
    ".json": ("per_device_train_batch_size", "output_dir", "distributed_type", "stage"),
}
_YAML_MARKS = ("distributed_type", "per_device_train_batch_size", "output_dir", "finetuning_type", "stage:",
               "deepspeed", "dist_config", "version: 1")  # fmt: skip


def is_ours(base: Unit, name: str) -> bool:
    """Whether some framework can read the file by itself."""
    text = base.files.text(name)
    suffix = name[name.rindex(".") :] if "." in name else ""
    if not any(mark in text for mark in _MARKS.get(suffix, _YAML_MARKS)):
        return False
    try:
        found = read_input(registry(), base.files, (name,), (), base.target, base.facts, base.versions)
    except InputError:
        return False
    if found.framework.name == "deepspeed":
        return "initialize(" in text
    # a module that only has classes and functions for others
    trees = found.reading.trees
    idle = trees.get("script", {}).get("trains") is False and not trees.get("args")
    return not (suffix == ".py" and idle)
