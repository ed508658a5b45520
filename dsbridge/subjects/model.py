"""The model of an input: what its config.json says, as `--model` gives it or as it lies beside the files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsbridge.subjects.subject import Subject
from dsbridge.values import UNSET, Unknown

# the names in the order in which DeepSpeed looks for them (module_inject/tp_shard.py)
KV_HEADS = ("num_key_value_heads", "num_kv_heads", "multi_query_group_num", "n_head_kv", "kv_n_heads",
            "num_attention_heads", "n_heads", "attention_heads")  # fmt: skip
HEADS = ("num_attention_heads", "num_heads", "n_heads", "n_head", "attention_heads")


def config(subject: Subject) -> Mapping[str, Any]:
    """The part of config.json that is about the text model; empty while nobody knows it."""
    explanation = subject.explanation
    facts = explanation.facts if explanation else subject.unit.facts
    for value in (facts.get("model"), explanation.trees.get("model") if explanation else None):
        if isinstance(value, Mapping) and any(name in value for name in (*HEADS, "model_type")):
            return _text(value)
    return _text(_beside(subject))


def _beside(subject: Subject) -> Mapping[str, Any]:
    path = subject.spec.get("model.name_or_path")
    name = f"{str(path).rstrip('/')}/config.json"
    if not path or not subject.unit.files.has(name):
        return {}
    document = subject.file_value(name)
    return document.value if document is not None and isinstance(document.value, Mapping) else {}


def _text(value: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = value.get("text_config")
    return inner if isinstance(inner, Mapping) else value


def count(subject: Subject, names: tuple[str, ...]) -> int | None:
    """The first of these fields that the config has, as a number above 0."""
    found = config(subject)
    for name in names:
        value = found.get(name, UNSET)
        if isinstance(value, int) and not isinstance(value, bool | Unknown) and value > 0:
            return value
    return None
