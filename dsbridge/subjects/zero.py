"""What the checks of ZeRO ask of a subject: the stage, a value that the user wrote, and where."""

from __future__ import annotations

from typing import Any, NamedTuple

from dsbridge.diagnostics import Edit
from dsbridge.formats.document import Path_
from dsbridge.provenance import Source
from dsbridge.subjects.subject import Subject, once
from dsbridge.values import UNSET, Unknown

ZERO = "zero_optimization"


class Said(NamedTuple):
    """A value that the user wrote for a DeepSpeed key, in the DeepSpeed config or for it in another file.

    path: DeepSpeed's key. key: as it is called where it stands. edits: what takes it out; empty where it
    does not stand in the DeepSpeed config.
    """

    path: str
    value: Any
    key: str
    at: Source | None
    edits: tuple[Edit, ...] = ()


def said(subject: Subject, path: str) -> Said | None:
    """What the user wrote for a key."""
    value = subject.written(path)
    if value is not UNSET and subject.ds is not None:
        parts = tuple(path.split("."))
        return Said(path, value, path, subject.ds.at(parts), _removed(subject, parts))
    if subject.ds is not None and subject.ds.document is not None:
        return None
    story = subject.stories.get(path)
    if story is None or story.requested is UNSET or story.source is None:
        return None
    return Said(path, story.requested, _name_at(subject, story.source) or path, story.source)


def _removed(subject: Subject, parts: Path_) -> tuple[Edit, ...]:
    ds = subject.ds
    if ds is None or ds.document is None:
        return ()
    return (Edit(ds.file, tuple(parts), "remove"),)


def _name_at(subject: Subject, at: Source) -> str:
    """How a value is called in the file that it was read from, by its place."""
    if subject.explanation is None:
        return ""
    places = subject.explanation.input.reading.sources
    found = next((str(name) for name, place in places.items() if place == at), "")
    root, _, rest = found.partition(".")
    return rest if root in ("yaml", "ds") else found


@once
def stage(subject: Subject) -> int | None:
    """The ZeRO stage that trains; None where nobody knows it, or DeepSpeed is not used."""
    if subject.explanation is not None and subject.explanation.config is None and not subject.refusals:
        return None
    story = subject.stories.get(f"{ZERO}.stage")
    value = story.value if story is not None else subject.effective(f"{ZERO}.stage")
    shown = not subject.unit.guide  # a guide may show a few keys of a block, and the stage elsewhere
    if value is UNSET and subject.explanation is None and shown and isinstance(subject.written(ZERO), dict):
        value = 0
    if isinstance(value, Unknown | bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= 3 else None


def device(subject: Subject, block: str) -> str:
    """Where `offload_param` or `offload_optimizer` puts what it is named after: cpu, nvme or none."""
    story = subject.stories.get(f"{ZERO}.{block}.device")
    value = story.value if story is not None else subject.written(f"{ZERO}.{block}.device")
    return str(value) if value in ("cpu", "nvme") else "none"


def whole(value: Any) -> int | None:
    """A count of elements, as DeepSpeed takes it: 5e8 is 500000000."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if value == value and abs(value) < 1e18 and int(value) == value else None


def gigabytes(count: float) -> str:
    """Bytes for people: `1.9 GB`; a GB has 10**9 bytes."""
    return f"{count / 1e9:.1f} GB" if count >= 5e7 else f"{count / 1e6:.1f} MB"


def half_bytes(subject: Subject) -> int:
    """Bytes of an element in the number format that trains: 2, or 4 where neither bf16 nor fp16 is on."""
    on = [subject.effective(f"{name}.enabled") for name in ("bf16", "fp16")]
    return 2 if any(value is True or value == "auto" for value in on) else 4
