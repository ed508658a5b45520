"""Tensor parallelism as an input asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsbridge.provenance import Source
from dsbridge.subjects.subject import Subject, once

BLOCK = "tensor_parallel"
SIZE = f"{BLOCK}.autotp_size"


def number(value: Any) -> int | None:
    """A whole number above 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


@once
def degree(subject: Subject) -> int:
    """Ranks that share one layer, as `autotp_size` says; 1 for none."""
    return number(subject.effective(SIZE)) or number(subject.written(SIZE)) or 1


def block(subject: Subject) -> Mapping[str, Any]:
    """`tensor_parallel` as written."""
    value = subject.written(BLOCK)
    return value if isinstance(value, Mapping) else {}


def inner(subject: Subject) -> tuple[str, int] | None:
    """The block inside the block, and the tp_size that it says."""
    for name in ("tp", "tensor_parallel"):
        value = block(subject).get(name)
        size = number(value.get("tp_size")) if isinstance(value, Mapping) else None
        if size is not None:
            return f"{BLOCK}.{name}.tp_size", size
    return None


def place(subject: Subject) -> Source | None:
    """Where autotp_size stands."""
    return subject.at(f"ds.{SIZE}")


def stopped(subject: Subject, *codes: str) -> tuple[str, Source | None] | None:
    """Key and place of the finding that a rule's refusal becomes, for one that says it better."""
    for refused in subject.refusals:
        if refused.rule.code in codes:
            field = refused.fields[0] if refused.fields else ""
            return field, subject.place(field) if field else None
    return None


def program(subject: Subject) -> str:
    """The text of the script that trains; "" where nobody shows it."""
    if subject.input is None or subject.unit.lone:
        return ""
    setup = subject.input.setup
    names = [word for word in setup.words.items if word.endswith(".py")]
    names += [name for name in setup.given if name.endswith(".py")]
    here = subject.unit.files
    return "\n".join(here.text(name) for name in names[:1] if here.has(name))
