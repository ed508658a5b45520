"""Rendered keys into what is there already: the framework's own keys, and the user's base file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

from dsbridge.sdk import Diagnostic, RenderRequest, Source, show
from dsbridge_trainer import codes

# a key says the opposite of these, or the same in other words: both together are an error or a riddle
EXCLUSIVE = {
    "bf16": ("fp16", "pure_bf16"),
    "fp16": ("bf16", "pure_bf16"),
    "warmup_steps": ("warmup_ratio",),
    "warmup_ratio": ("warmup_steps",),
    "gradient_checkpointing": ("activation_checkpointing",),
}


def with_own(request: RenderRequest, rendered: Mapping[str, Any]) -> tuple[dict[str, Any], list[Diagnostic]]:
    """The rendered keys and those of `frameworks.<target>`, and what contradicts."""
    keys, found = dict(rendered), list[Diagnostic]()
    for key, value in request.own().items():
        both = (rendered.get(key), value)
        if all(isinstance(side, Mapping) for side in both) and not _differ(*both):
            keys[key] = {**value, **rendered[key]}
        elif key in rendered and rendered[key] != value:
            found.append(
                codes.OWN_KEY(
                    f"`frameworks.{request.target}.{key}` is {show(value)}, but the spec's own keys make "
                    f"`{key}` {show(rendered[key])}",
                    hint="Say it once, in the spec's own key.",
                    key=f"frameworks.{request.target}.{key}",
                )
            )
        else:
            keys[key] = value
    return keys, found


def _differ(one: Any, other: Any) -> bool:
    """They say a key in two ways."""
    return any(key in one and one[key] != value for key, value in other.items())


def into_base(
    base: MutableMapping[str, Any],
    keys: Mapping[str, Any],
    at: Callable[[str], Source],
    without: tuple[str, ...] = (),
) -> list[Diagnostic]:
    """Replace in place and append; what has changed.

    at: where the base says a key. without: keys that must not stay, because the spec says otherwise.
    """
    found: list[Diagnostic] = []
    for key in _contrary(base, keys, without):
        message = f"`{key}: {show(base[key])}` is removed: the spec says otherwise"
        found.append(codes.BASE_CHANGED(message, at=at(key)))
        del base[key]
    for key in [k for k in keys if k in base and base[k] != keys[k]]:
        message = f"`{key}: {show(base[key])}` is now {show(keys[key])}"
        found.append(codes.BASE_CHANGED(message, at=at(key)))
        base[key] = keys[key]
    for key in [k for k in keys if k not in base]:
        base[key] = keys[key]
    return found


def _contrary(base: Mapping[str, Any], keys: Mapping[str, Any], without: tuple[str, ...]) -> Iterator[str]:
    gone = set(without)
    for key in keys:
        if keys[key] is not False:
            gone |= {other for other in EXCLUSIVE.get(key, ()) if other not in keys}
    yield from [key for key in base if key in gone]
