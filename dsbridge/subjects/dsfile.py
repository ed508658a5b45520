"""The DeepSpeed config of an input as its author wrote it, whatever the framework makes of its form."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from dsbridge.diagnostics import InputError
from dsbridge.formats.document import Document, Path_
from dsbridge.formats.json import json_error, read_json
from dsbridge.inputs import Input
from dsbridge.parsing import NAMES_A_CONFIG
from dsbridge.provenance import Source
from dsbridge.reading import Files
from dsbridge.rules import NOTHING
from dsbridge.subjects.unit import Unit

# what stands between values, and the comma before a closing bracket; texts are matched to be stepped over
_COMMENT = r"//[^\n]*|\#[^\n]*|/\*.*?\*/"
_LOOSE = re.compile(rf'"(?:[^"\\\n]|\\.)*"|{_COMMENT}|,(?=(?:\s|{_COMMENT})*[}}\]])', re.DOTALL)


class DsFile(NamedTuple):
    """value: the mapping. file, document: "" and None for a dict in a script. sources: places, by `ds.` path.

    loose: its JSON has comments or trailing commas, which json.load refuses. plain: the same text without
    them, every place kept.
    """

    value: Mapping[str, Any]
    file: str = ""
    document: Document | None = None
    sources: Mapping[str, Source] = NOTHING
    loose: bool = False
    plain: str = ""

    def at(self, path: Path_, *, key: bool = True) -> Source | None:
        """Where a key (or its value) is written."""
        if self.document is not None:
            return self.document.at(path, key=key)
        parts = ("ds", *map(str, path))
        names = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
        return next((self.sources[name] for name in names if name in self.sources), None)


def ds_file(unit: Unit, given: Input | None) -> DsFile | None:
    """The config of a unit: the file alone, the one that its framework's files name, a dict in a script."""
    if given is None:
        return _read(unit.files, unit.given[0], part=bool(unit.guide)) if unit.lone and unit.given else None
    for name in _named(given):
        if (found := _read(given.setup.files, name)) is not None:
            return found
    value = given.reading.trees.get("ds")
    if not isinstance(value, Mapping) or given.framework.name == "accelerate":
        return None
    return DsFile(value, sources=given.reading.sources)


def _named(given: Input) -> Iterator[str]:
    """Names of DeepSpeed configs, as far as a key or an argument says them."""
    yield from (name for name in given.setup.given if name.endswith((".json", ".hjson")))
    words = given.setup.words.items
    yield from (name for name in words if name.endswith((".json", ".hjson")) and not name.startswith("-"))
    yield from _under(given.reading.trees, 0)


def _under(node: Any, depth: int) -> Iterator[str]:
    if not isinstance(node, Mapping) or depth > 4:
        return
    for key, value in node.items():
        if isinstance(value, str) and key in NAMES_A_CONFIG and value:
            yield value
        else:
            yield from _under(value, depth + 1)


def _read(files: Files, name: str, *, part: bool = False) -> DsFile | None:
    try:
        if not files.has(name):
            return None
        document = files.json(name, comments=True)
        text = files.text(name)
    except InputError:
        return None
    if not isinstance(document.value, dict) or not is_ds_config(document.value, part=part):
        return None
    loose = document.loose
    plain = without_comments(text) if loose else text
    if loose and json_error(plain):
        loose = False  # nothing that can be taken out of it
    return DsFile(document.value, document.file, document, loose=loose, plain=plain)


def without_comments(text: str) -> str:
    """JSON text with its comments and trailing commas blanked; every other letter stays where it was."""

    def blank(found: re.Match[str]) -> str:
        return found[0] if found[0].startswith('"') else re.sub(r"[^\n]", " ", found[0])

    return _LOOSE.sub(blank, text)


# keys that nobody but DeepSpeed has at the top of a JSON
SURE = frozenset(("zero_optimization", "train_micro_batch_size_per_gpu", "zero_allow_untested_optimizer",
                   "zero_force_ds_cpu_optimizer", "wall_clock_breakdown", "steps_per_print"))  # fmt: skip
_LIKELY = frozenset(("train_batch_size", "gradient_accumulation_steps", "gradient_clipping", "fp16", "bf16",
                     "optimizer", "scheduler", "tensor_parallel", "activation_checkpointing", "aio",
                     "comms_logger", "communication_data_type", "prescale_gradients", "checkpoint",
                     "flops_profiler", "amp", "data_types", "zero_optimisation"))  # fmt: skip


# the Trainer's, whose JSON has names in common with a DeepSpeed config
_ARGUMENTS = frozenset(("per_device_train_batch_size", "num_train_epochs", "max_steps", "learning_rate",
                        "logging_steps", "save_steps", "deepspeed", "lr_scheduler_type"))  # fmt: skip


def is_ds_config(value: Mapping[str, Any], *, part: bool = False) -> bool:
    """Whether a JSON mapping is a DeepSpeed config. part: as it stands in a text, where one block may do."""
    if any(name in value for name in ("distributed_type", "output_dir", "model_type", "architectures")):
        return False
    if not any(name in value for name in SURE) and sum(name in value for name in _ARGUMENTS) > 1:
        return False
    sure = sum(name in value for name in SURE)
    likely = sum(name in value for name in _LIKELY)
    return bool(sure) or likely >= (1 if part else 2)


def read_plain(text: str, file: str) -> Document | None:
    """A JSON text, comments or not, as a document; None for no JSON."""
    try:
        return read_json(text, file, comments=True)
    except InputError:
        return None
