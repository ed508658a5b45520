"""The part of a config's fields that rendering asks about, and how it differs from the usual one.

Parsing keeps the difference beside the config's name (`frameworks.xtuner.shape`), because rendering sees
the spec alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from dsbridge.rulebook import Unknown as Unread
from dsbridge_xtuner.shape import MODEL_PATH, SAME_MODEL, UNKNOWN, Shape, Unknown, usual

VALUES = (
    "framework",
    "use_varlen_attn",
    "sequence_parallel_size",
    "model.type",
    "param_scheduler.",
    "train_cfg.",
    "optim_wrapper.optimizer.type",
    "optim_wrapper.accumulative_counts",
    "train_dataloader.sampler.type",
    "train_dataloader.dataset.type",
    "model.lora.type",
    "model.llm_lora.type",
    "model.llm.quantization_config.type",
    "model.quantization_llm",
    "default_hooks.checkpoint.by_epoch",
)
NAMES = (
    "default_hooks.checkpoint.",
    "default_hooks.logger.",
    "randomness.",
    "optim_wrapper.clip_grad.max_norm",
    "train_dataloader.dataset.max_length",
    "train_dataloader.dataset.pack_to_max_length",
    "model.use_activation_checkpointing",
)
DATASETS = re.compile(r"train_dataloader\.dataset\.datasets\.\d+\.(max_length|pack_to_max_length)")
PATHS = ("model.llm.", "tokenizer.", "train_dataloader.", "custom_hooks.", "model.tokenizer.")
_QUANTISED = "model.llm.quantization_config"
# counted in micro-steps: the config's own number says more than the spec's optimizer steps
INTERVALS = ("default_hooks.checkpoint.interval", "default_hooks.logger.interval")


def relevant(found: Mapping[str, Any]) -> dict[str, Any]:
    """The leaves that rendering asks about, of all leaves of a config."""
    model = found.get(f"model.llm.{MODEL_PATH}")
    kept: dict[str, Any] = {}
    for leaf, value in found.items():
        known = not isinstance(value, Unknown)
        if known and leaf.startswith(VALUES):
            kept[leaf] = round(value, 12) if isinstance(value, float) else value
        elif leaf.startswith(NAMES) or DATASETS.fullmatch(leaf):
            kept[leaf] = None
        elif not known:
            continue
        elif leaf.startswith(PATHS) and leaf.endswith(f".{MODEL_PATH}"):
            kept[leaf] = SAME_MODEL if value == model else None
        elif leaf.startswith(PATHS) and leaf.endswith(".trust_remote_code"):
            kept[leaf] = value
    return kept


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of a config that was read, by dotted path; what names a class is its last word."""
    if isinstance(value, Mapping) and set(value) == {"name", "class"}:
        yield path, str(value["name"]).rpartition(".")[2]
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from leaves(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list) and not all(isinstance(item, str | int | float) for item in value):
        for index, inner in enumerate(value):
            yield from leaves(inner, f"{path}.{index}")
    else:
        yield path, UNKNOWN if isinstance(value, Unread) else value


def difference(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """What the config has and lacks, as against the usual shape."""
    every = dict(leaves(cfg))
    found = relevant(every)
    found |= {leaf: every[leaf] for leaf in INTERVALS if _odd(every.get(leaf), every)}
    if not any(every.get(f"{_QUANTISED}.load_in_{bits}bit", False) for bits in (4, 8)):
        found.pop(f"{_QUANTISED}.type", None)  # a block that asks for nothing
    known = usual()
    has = {leaf: value for leaf, value in found.items() if leaf not in known or known[leaf] != value}
    lacks = sorted(known.keys() - found.keys())
    return ({"has": has} if has else {}) | ({"lacks": lacks} if lacks else {})


def _odd(interval: Any, every: Mapping[str, Any]) -> bool:
    """No whole number of optimizer steps."""
    counts = every.get("optim_wrapper.accumulative_counts", 1)
    whole = isinstance(interval, int) and isinstance(counts, int) and counts > 0
    return whole and interval % counts != 0


def described(name: str, shape: Mapping[str, Any]) -> Shape:
    """The shape that parsing saw."""
    has, lacks = shape.get("has"), shape.get("lacks")
    found = {**usual(), **(has if isinstance(has, dict) else {})}
    gone = set(map(str, lacks)) if isinstance(lacks, list | tuple) else set()
    return Shape({leaf: value for leaf, value in found.items() if leaf not in gone}, True, name)
