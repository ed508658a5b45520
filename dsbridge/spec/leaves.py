"""The values a spec holds, by dotted path."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from dsbridge.spec import ParallelSpec
from dsbridge.spec.kinds import Kind
from dsbridge.spec.setting import Meaning, Part, Section, attribute, declared_fields
from dsbridge.values import AUTO, UNSET

PASSED_THROUGH = ("deepspeed", "frameworks")  # kept as they are, not leaves of the spec
NOT_FOR_FRAMEWORKS = (
    # what dsbridge itself reads: nothing of it belongs in a framework's files
    "version",
    "cluster.gpu",
    "cluster.interconnect.intra",
    "cluster.interconnect.inter",
    "model.hidden_size",
    "model.num_hidden_layers",
    "model.num_attention_heads",
    "model.num_key_value_heads",
    "model.intermediate_size",
    "model.vocab_size",
)


def leaves(spec: ParallelSpec) -> dict[str, Any]:
    """Every value that is set, AUTO included, by path such as `zero.offload_param.device`."""
    return dict(_walk(spec, ""))


def _walk(part: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    empty = part.__empty__
    for name, value in vars(part).items():
        if value is empty[name]:
            continue  # nobody said anything
        path = prefix + name.rstrip("_")
        if isinstance(value, Part):
            yield from _walk(value, f"{path}.")
        elif path not in PASSED_THROUGH:
            yield path, value


def leaf_paths(of: type[Part] = ParallelSpec, prefix: str = "") -> Iterator[str]:
    """Every path a spec can set."""
    for key, declared in declared_fields(of).items():
        if isinstance(declared, Section):
            yield from leaf_paths(declared.of, f"{prefix}{key}.")
        else:
            yield prefix + key


@cache
def kind_of(path: str) -> Kind:
    """What the value at a path may be."""
    part: type[Part] = ParallelSpec
    *parents, last = path.split(".")
    for name in parents:
        declared = declared_fields(part)[name]
        assert isinstance(declared, Section)
        part = declared.of
    meaning = declared_fields(part)[last]
    assert isinstance(meaning, Meaning)
    return meaning.kind


def value_at(spec: ParallelSpec, path: str) -> Any:
    """The value at a dotted path, UNSET if the user gave none."""
    part: Any = spec
    for key in path.split("."):
        part = getattr(part, attribute(key))
    return part


def to_mapping(spec: ParallelSpec) -> dict[str, Any]:
    """The spec as the plain mapping that loads back to it: nothing UNSET, AUTO as "auto"."""
    out: dict[str, Any] = {}
    for path, value in leaves(spec).items():
        *parents, last = path.split(".")
        node = out
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = plain(value)
    for name in PASSED_THROUGH:
        value = getattr(spec, name)
        if value is not UNSET:
            out[name] = value
    return out


def plain(value: Any) -> Any:
    """A spec value as YAML and JSON know it."""
    if isinstance(value, tuple):
        return [plain(v) for v in value]
    return "auto" if value is AUTO else value
