"""Which of the libraries' classes of arguments a class is, and which fields that one has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsbridge_trainer import table, trl_table
from dsbridge_trainer.classes import Class

ROOTS = ("TrainingArguments", "Seq2SeqTrainingArguments")


def root_of(name: str, classes: Mapping[str, Class], depth: int = 0) -> str:
    """`TrainingArguments`, TRL's `SFTConfig`, ...: the class itself, or what it comes from; "" if neither."""
    short = name.rpartition(".")[2]
    found = classes.get(short)
    if found is not None and depth < 20:
        roots = (root_of(base, classes, depth + 1) for base in found.bases)
        return next((root for root in roots if root), "")
    return short if short in ROOTS or trl_table.is_arguments(short) else ""


def fields_of(root: str, transformers: str, trl: str) -> Mapping[str, Mapping[str, Any]]:
    """The fields in the order of the constructor. What TRL declares anew keeps its place."""
    found = table.fields(transformers)
    return found if root in ROOTS else {**found, **trl_table.rows(root, trl)}
