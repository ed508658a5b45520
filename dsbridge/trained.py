"""What is trained, beyond the DeepSpeed config: model, method, length, data order. Part of the diff pass.

Compared is what both sides say in the spec's words, or do where they are told nothing. What one of them
leaves to another place, such as the script, is no difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dsbridge.deepspeed.meanings import NOTHING, RESOURCES, RESULT, Meaning
from dsbridge.diagnostics import InputError
from dsbridge.inputs import Input
from dsbridge.parsing import Parsed, parse_input
from dsbridge.spec.leaves import leaves, plain
from dsbridge.values import AUTO

_METHOD = Meaning(RESULT, "other parameters are trained, or in another way")
MEANINGS: dict[str, Meaning] = {
    "model.name_or_path": Meaning(RESULT, "another model is trained"),
    "model.attention": Meaning(RESOURCES, "attention is computed by other kernels"),
    "finetuning": _METHOD,
    "finetuning.quantization_bits": Meaning(RESULT, "frozen weights are rounded in another way"),
    "finetuning.quantization_type": Meaning(RESULT, "frozen weights are rounded in another way"),
    "finetuning.double_quantization": Meaning(RESULT, "frozen weights are rounded in another way"),
    "training.epochs": Meaning(RESULT, "the data is seen more or less often"),
    "training.max_steps": Meaning(RESULT, "training takes more or fewer steps"),
    "training.sequence_length": Meaning(RESULT, "samples are cut at another length"),
    "training.packing": Meaning(RESULT, "samples are put together on one side"),
    "training.seed": Meaning(RESULT, "other random numbers: data order, dropout, new weights"),
    "training.gradient_checkpointing": Meaning(RESOURCES, "activations are kept, or computed again"),
    "training.dataloader_num_workers": Meaning(RESOURCES, "other processes read the data"),
    "training": Meaning(NOTHING, "it says where and when something is written"),
}
_PARTS = ("model.name_or_path", "model.attention", "finetuning.", "training.")


def trained(a: Input, b: Input) -> Iterator[tuple[str, Any, Any, Meaning]]:
    """Each path with both values and what the difference means."""
    try:
        left, right = parse_input(a), parse_input(b)
    except InputError:
        return  # one of them has no place in a spec
    ours, theirs = said(left), said(right)
    steps = ours.get("training.max_steps")
    counted = isinstance(steps, int) and steps > 0 and steps == theirs.get("training.max_steps")
    for path in sorted(ours.keys() & theirs.keys()):
        if ours[path] != theirs[path] and not (counted and path == "training.epochs"):
            yield path, ours[path], theirs[path], _meaning(path)
    yield from _own(left, right)


def said(parsed: Parsed, *, everything: bool = False) -> dict[str, Any]:
    """What an input says by path of the spec, and what its framework does unasked.

    everything: also of the layout, which the DeepSpeed config tells better.
    """
    spec = parsed.input.spec or parsed.loaded.spec  # what is rendered leaves to a script, a spec says itself
    own = {path: plain(value) for path, value in leaves(spec).items() if value is not AUTO}
    found = {**parsed.silent, **own}
    return found if everything else {k: v for k, v in found.items() if k.startswith(_PARTS)}


def _meaning(path: str) -> Meaning:
    return MEANINGS.get(path) or MEANINGS[path.partition(".")[0]]


def _own(left: Parsed, right: Parsed) -> Iterator[tuple[str, Any, Any, Meaning]]:
    """Keys that one framework alone has, and that decide what it trains."""
    framework = left.input.framework
    if framework.name != right.input.framework.name or framework.decides is None:
        return
    sides = [_kept(parsed) for parsed in (left, right)]
    for key, default in framework.decides().items():
        one, other = (side.get(key, default) for side in sides)
        if one != other:
            why = f"{framework.title}'s own setting of what is trained"
            yield f"frameworks.{framework.name}.{key}", one, other, Meaning(RESULT, why)


def _kept(parsed: Parsed) -> Mapping[str, Any]:
    spec = parsed.input.spec or parsed.loaded.spec
    found = spec.frameworks.get(parsed.framework) if isinstance(spec.frameworks, Mapping) else None
    return found if isinstance(found, Mapping) else {}
