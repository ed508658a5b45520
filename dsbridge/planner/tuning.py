"""Which parameters a way of fine-tuning trains, and which it adds: full, freeze and LoRA, exactly.

As the real packages choose them: PEFT for LoRA (also under a quantised base, QLoRA), LLaMA-Factory for
freeze.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod

from dsbridge.planner import moe_targets
from dsbridge.planner.errors import ShapeError
from dsbridge.planner.modules import CONV1D, EMBEDDING, LINEAR, Module
from dsbridge.planner.shape import ModelShape
from dsbridge.rules import numbers

ALL_LINEAR = "all-linear"  # PEFT's word
ALL = "all"  # LLaMA-Factory's


@dataclass(frozen=True)
class Lora:
    """LoRA as PEFT makes it. `targets` are names (`q_proj`), one regular expression, or `all-linear`.

    `save` are modules trained whole beside the adapters (`modules_to_save`: PEFT keeps the frozen one too).
    `bias` is none, all, or lora_only. `dora` adds a magnitude for each output. `peft` is
    the release that makes it: the newer ones put adapters on fused experts (`moe_targets`).
    `dropout`: in front of the adapters; it trains nothing, and keeps a mask and a result for each of them.
    """

    rank: int = 8
    targets: tuple[str, ...] | str = ALL_LINEAR
    save: tuple[str, ...] = ()
    bias: str = "none"
    dora: bool = False
    peft: str = "0.21.2"
    dropout: float = 0.0


@dataclass(frozen=True)
class Freeze:
    """LLaMA-Factory's freeze: the last `layers` are trained, or the first if below 0.

    `modules` picks among the modules of a layer (`mlp`), `extra` adds modules outside the layers.
    """

    layers: int = 2
    modules: tuple[str, ...] = (ALL,)
    extra: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trained:
    """Counts in parameters. `trainable` and `frozen` are all that is held; `added` were not in the model."""

    trainable: int
    frozen: int
    added: int = 0

    @property
    def held(self) -> int:
        """All parameters in memory."""
        return self.trainable + self.frozen


def trained(shape: ModelShape, method: Lora | Freeze | None = None) -> Trained:
    """How many parameters a method trains, freezes and adds; None trains them all."""
    if method is None:
        return Trained(trainable=shape.total, frozen=0)
    return _frozen(shape, method) if isinstance(method, Freeze) else _lora(shape, method)


def named_modules(shape: ModelShape) -> Iterator[tuple[str, Module]]:
    """Every module by its full name, each layer and each expert by itself."""
    for module in shape.outside:
        yield module.name, module
    for block in shape.blocks:
        for index in block.layers:
            for module in block.modules:
                for copy in range(module.copies):
                    yield f"{shape.prefix}.{index}.{module.name.replace('{}', str(copy))}", module


def adapters(shape: ModelShape, lora: Lora, name: str, module: Module) -> list[tuple[str, int]]:
    """Parameters that LoRA adds to one module, by name, in elements: two factors, and DoRA's magnitudes.

    A copy that `save` trains is one of them; the frozen one stays.
    """
    targets, fused = _targets(shape, lora)
    found: list[tuple[str, int]] = []
    if on := _on_parameters(name, module, fused, lora.rank):
        found.append((f"{name}.lora", on))
    if _ends_with(name, lora.save):
        found.append((f"{name}.modules_to_save", module.size))
    elif _targeted(name, module, targets):
        weight = dict(module.weights)["weight"]
        added = _adapter(name, module, lora)
        inputs, outputs = module.matrix or (weight[0], weight[1])
        found += [(f"{name}.lora_A", lora.rank * inputs), (f"{name}.lora_B", lora.rank * outputs)]
        if lora.dora:
            found.append((f"{name}.lora_magnitude_vector", added - lora.rank * sum(weight)))
    return found


def trains(shape: ModelShape, method: Lora | Freeze | None, name: str, weight: str) -> bool:
    """Whether a method trains a weight that the model has; its full name, and the last part of that."""
    if method is None:
        return True
    if isinstance(method, Freeze):
        return any(mark in name for mark in _marks(shape, method))
    if method.bias == "all":
        return weight == "bias"
    targets, _ = _targets(shape, method)
    owner = name.rpartition(".")[0]
    only = method.bias == "lora_only" and weight == "bias"
    return only and any(full == owner and _targeted(full, m, targets) for full, m in named_modules(shape))


def _lora(shape: ModelShape, lora: Lora) -> Trained:
    if isinstance(lora.rank, bool) or not isinstance(lora.rank, int) or lora.rank < 1:
        raise ShapeError(f"LoRA's rank is {lora.rank!r}", "give a whole number above 0, such as 8")
    targets, parameters = _targets(shape, lora)
    if parameters and lora.dora:
        raise ShapeError("PEFT has no DoRA for experts held as parameters", "leave out the experts, or DoRA")
    added = biases = 0
    hit = False
    for name, module in named_modules(shape):
        ours = _on_parameters(name, module, parameters, lora.rank)
        if _ends_with(name, lora.save):
            added += module.size
        elif _targeted(name, module, targets):
            ours += _adapter(name, module, lora)
            biases += _bias(name, module, lora) if lora.bias == "lora_only" else 0
        hit = hit or bool(ours)
        added += ours
        biases += _bias(name, module, lora) if lora.bias == "all" else 0
    if not hit:
        linear = sorted({n.rpartition(".")[2] for n, m in named_modules(shape) if m.matrix})
        raise ShapeError(
            f"no module of {shape.name} is named {_told(lora.targets)}", f"it has {', '.join(linear)}"
        )
    return Trained(trainable=biases + added, frozen=shape.total - biases, added=added)


def _targets(shape: ModelShape, lora: Lora) -> tuple[tuple[str, ...] | str, Mapping[str, int]]:
    """Modules, and parameters with how many times the rank each gets."""
    if not moe_targets.rewrites(shape.model_type, shape.transformers, lora.peft) or lora.targets == ALL:
        return lora.targets, {}
    wanted: Iterable[str] = lora.targets
    if lora.targets == ALL_LINEAR:
        linear = {n.rpartition(".")[2] for n, m in named_modules(shape) if m.matrix and m.part != "head"}
        wanted = linear | set(moe_targets.FAMILIES[shape.model_type])
    elif isinstance(lora.targets, str):
        names = [n for n, _ in named_modules(shape)]
        names += [f"{n}.{weight}" for n, m in named_modules(shape) for weight, _ in m.weights]
        wanted = moe_targets.leaves(shape.model_type, lora.targets, names)
    return moe_targets.rewritten(shape.model_type, wanted)


def _on_parameters(name: str, module: Module, parameters: Mapping[str, int], rank: int) -> int:
    """Adapters on weights themselves: one pair of factors for each expert."""
    found = 0
    for weight, size in module.weights:
        times = next((t for p, t in parameters.items() if f"{name}.{weight}".endswith(f".{p}")), 0)
        found += times * rank * sum(size[-2:]) * prod(size[:-2])
    return found


def _adapter(name: str, module: Module, lora: Lora) -> int:
    if module.matrix is None and module.kind != EMBEDDING:
        raise ShapeError(f"LoRA cannot be put on {name}", "name linear modules or embeddings")
    weight = dict(module.weights)["weight"]
    outputs = module.matrix[1] if module.matrix else weight[1]
    return lora.rank * sum(weight) + outputs * lora.dora


def _bias(name: str, module: Module, lora: Lora) -> int:
    # `all` in PEFT 0.18.1 is whatever has "bias" in its name, biases of fused experts too; in 0.21.2
    # it is not
    anywhere = lora.bias == "all" and numbers(lora.peft) < numbers(moe_targets.SINCE)
    return sum(
        prod(size)
        for weight, size in module.weights
        if weight == "bias" or (anywhere and "bias" in f"{name}.{weight}")
    )


def _targeted(name: str, module: Module, targets: tuple[str, ...] | str) -> bool:
    if targets == ALL_LINEAR:
        return module.kind in (LINEAR, CONV1D) and module.part != "head"
    if targets in (ALL, (ALL,)):
        # an output layer of another name is among them, as GPT-NeoX's embed_out
        return module.kind == LINEAR and "lm_head" not in name
    if isinstance(targets, str):
        return re.fullmatch(targets, name) is not None
    return _ends_with(name, targets)


def _ends_with(name: str, ends: tuple[str, ...]) -> bool:
    return any(name == end or name.endswith(f".{end}") for end in ends)


def _told(targets: tuple[str, ...] | str) -> str:
    return targets if isinstance(targets, str) else " or ".join(targets)


def _frozen(shape: ModelShape, freeze: Freeze) -> Trained:
    count = freeze.layers
    if not isinstance(count, int) or isinstance(count, bool) or count == 0:
        raise ShapeError(
            f"freeze trains {count!r} layers", "give how many of the last, or below 0, of the first"
        )
    _check_names(shape, freeze)
    marks = _marks(shape, freeze)
    trainable = 0
    for name, module in named_modules(shape):
        for weight, size in module.weights:
            if weight != module.tied and any(mark in f"{name}.{weight}" for mark in marks):
                trainable += prod(size)
    if not trainable:
        raise ShapeError(f"no weight of {shape.name} is in {', '.join(marks[:3])}", "name modules of a layer")
    return Trained(trainable=trainable, frozen=shape.total - trainable)


def _marks(shape: ModelShape, freeze: Freeze) -> list[str]:
    """What is in the name of a trained weight.

    By substring, as LLaMA-Factory does: `.5.` is a layer, and the fifth expert of every layer.
    """
    count = freeze.layers
    last = range(max(0, shape.layers - count), shape.layers)
    layers = last if count > 0 else range(min(-count, shape.layers))
    marks = [f".{index}.{'' if m == ALL else m}" for m in freeze.modules for index in layers]
    return [*marks, *freeze.extra]


def _check_names(shape: ModelShape, freeze: Freeze) -> None:
    """What LLaMA-Factory refuses: it knows modules by the first word in a layer, others by the last."""
    inside = {module.name.split(".")[0] for block in shape.blocks for module in block.modules}
    outside = {module.name.rpartition(".")[2] for module in shape.outside}
    for name, among in (
        *((n, {*inside, ALL}) for n in freeze.modules),
        *((n, outside) for n in freeze.extra),
    ):
        if name not in among:
            raise ShapeError(f"{shape.name} has no module {name}", f"choose from {', '.join(sorted(among))}")
