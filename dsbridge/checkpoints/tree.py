"""Looks into what a pickle says: dicts, whatever they are made of, lists, and the number formats of
tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsbridge.checkpoints.opcodes import Made, Name, Stored

_STORAGES = {
    "BFloat16Storage": "bf16",
    "HalfStorage": "fp16",
    "FloatStorage": "fp32",
    "DoubleStorage": "fp64",
}
_DEPTH = 12
# the same list may stand in many places: what is looked at is counted
_MOST_LOOKED, _MOST_KEPT = 200, 20_000


def mapping(value: Any) -> Mapping[Any, Any]:
    """A dict, or the items of an OrderedDict and the like; empty for anything else."""
    if isinstance(value, dict):
        return value
    return value.items if isinstance(value, Made) else {}


def at(value: Any, *keys: Any) -> Any:
    """What stands under keys; None where nothing does."""
    for key in keys:
        value = mapping(value).get(key)
    return value


def integer(value: Any) -> int | None:
    """A number, also one in an enum: `ZeroStageEnum(2)`."""
    if isinstance(value, Made) and len(value.args) == 1:
        value = value.args[0]
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def text(value: Any) -> str:
    """A text of sensible length; "" for anything else."""
    return value if isinstance(value, str) and len(value) < 200 else ""


def names(value: Any, most: int = 100_000) -> tuple[str, ...]:
    """The keys that are texts."""
    found = (key for key in mapping(value) if isinstance(key, str))
    return tuple(name for name, _ in zip(found, range(most), strict=False))


def dtype(value: Any) -> str:
    """The number format of a tensor, or of the first one below; "" for none that is known."""
    waiting, left = [value], _MOST_LOOKED
    while waiting and left:
        value, left = waiting.pop(), left - 1
        if isinstance(value, Stored):
            said = value.said
            kind = said[1] if isinstance(said, tuple) and len(said) > 1 else None
            name = kind.text.rpartition(".")[2] if isinstance(kind, Name) else ""
            if name in _STORAGES:
                return _STORAGES[name]
        elif isinstance(value, Made):
            waiting += [*list(value.items.values())[:3], *value.args[:3]][::-1]
        elif isinstance(value, dict):
            waiting += list(value.values())[:3][::-1]
        elif isinstance(value, (list, tuple)):
            waiting += value[:3][::-1]
    return ""


def plain(value: Any) -> Any:
    """Numbers, texts, lists and dicts of a config, as much as a config has; what is none of these is None."""
    return _plain(value, 0, [_MOST_KEPT])


def _plain(value: Any, depth: int, left: list[int]) -> Any:
    left[0] -= 1
    if isinstance(value, (bool, int, float)) or value is None:
        return value
    if isinstance(value, str):
        return value[:1000]
    if depth > _DEPTH or left[0] < 0:
        return None
    if isinstance(value, (list, tuple)):
        return [_plain(item, depth + 1, left) for item in value[:100] if left[0] > 0]
    items = list(mapping(value).items())[:200]
    return {str(k): _plain(v, depth + 1, left) for k, v in items if left[0] > 0}
