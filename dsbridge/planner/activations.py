"""What activations take, in bytes of a token: kept by each layer, alive while one goes back, checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from dsbridge.planner import slicing
from dsbridge.planner.flow import Layer, Setting
from dsbridge.planner.layout import NEWEST, Release
from dsbridge.planner.modules import Block, Module
from dsbridge.planner.norms import Trained, normed, plain_norm
from dsbridge.planner.parameters import parameters
from dsbridge.planner.shape import ModelShape
from dsbridge.planner.styles import PLAIN, style
from dsbridge.planner.tape import Tape
from dsbridge.planner.tuning import Freeze, Lora
from dsbridge.rules import numbers

Method = Lora | Freeze | None


class Kept(NamedTuple):
    """Bytes of a token. kept: of all layers; layer: of the one that keeps most; busy: what the backward pass
    of a layer has alive at most, kept ones of that layer with it; constants: of each layer,
    bytes whatever the tokens."""

    layers: tuple[float, ...]
    busy: float
    constants: tuple[float, ...]

    @property
    def total(self) -> float:
        """All layers."""
        return sum(self.layers)


@cache
def kept(
    shape: ModelShape,
    method: Method,
    scheme: str,
    setting: Setting,
    tp: int = 1,
    release: Release = NEWEST,
    input_grads: bool = False,
) -> Kept:
    """What each layer keeps without checkpointing. input_grads: the embedding's result needs a gradient
    though the embedding is frozen, as checkpointing and QLoRA make it."""
    way = _trained_of(shape, method, scheme, tp, release)
    grad = input_grads or way.embedding
    layers, busy, constants, seen = [], 0.0, [], {}
    for block, signature in way.layers:
        key = (id(block), signature, grad)
        if key not in seen:
            widths = _widths(shape, block.modules, tp, release)
            names = dict(zip((m.name for m in block.modules), signature, strict=True))
            layer = Layer(shape, block.modules, names, widths, setting)
            tape, last = layer.run(grad)
            seen[key] = tape.bytes(), layer.alive(last), tape.constant, last.grad
        own, alive, fixed, grad = seen[key]
        layers.append(own)
        busy = max(busy, alive)
        constants.append(fixed)
    return Kept(tuple(layers), busy, tuple(constants))


class _Trained(NamedTuple):
    """Whether the embedding gets a gradient; of each layer in order its block, and what is trained in it."""

    embedding: bool
    layers: tuple[tuple[Block, tuple[Trained, ...]], ...]


@cache
def _trained_of(shape: ModelShape, method: Method, scheme: str, tp: int, release: Release) -> _Trained:
    every = parameters(shape, method, scheme, tp, release)
    trainable = {one.name: one.size for one in every if one.trainable}
    embedding = next(module for module in shape.outside if module.part == "embedding")
    layers = tuple(
        (block, tuple(_trained(f"{shape.prefix}.{index}", module, trainable) for module in block.modules))
        for index, block in _in_order(shape)
    )
    return _Trained(f"{embedding.name}.weight" in trainable, layers)


def _in_order(shape: ModelShape) -> Iterator[tuple[int, Block]]:
    of_layer = {index: block for block in shape.blocks for index in block.layers}
    yield from ((index, of_layer[index]) for index in sorted(of_layer))


def _trained(prefix: str, module: Module, trainable: dict[str, int]) -> Trained:
    name = f"{prefix}.{module.name.replace('{}', '0')}"
    down = trainable.get(f"{name}.lora_A", 0)
    rank = down // module.matrix[0] if down and module.matrix else 0
    if f"{name}.modules_to_save" in trainable:
        return Trained(True, module.biased)
    weights = [weight for weight, _ in module.weights if weight != "bias"]
    return Trained(any(f"{name}.{w}" in trainable for w in weights), f"{name}.bias" in trainable, rank)


def _widths(
    shape: ModelShape, modules: tuple[Module, ...], tp: int, release: Release
) -> dict[str, tuple[int, int]]:
    found = {}
    for module in modules:
        if module.matrix is None:
            continue
        cut = slicing.sliced(shape, module, "weight", dict(module.weights)["weight"], tp, release)
        found[module.name] = (cut[1], cut[0]) if module.kind == "linear" else (cut[0], cut[1])
    return found


@cache
def last_norm(shape: ModelShape, method: Method, scheme: str, setting: Setting, head: bool) -> float:
    """Bytes of a token that the norm behind the layers keeps, and the head its input: head, it is trained.
    Liger's loss keeps a gradient in place of that."""
    every = parameters(shape, method, scheme, 1, NEWEST)
    trainable = {one.name for one in every if one.trainable}
    module = next((m for m in shape.outside if m.part == "final_norm"), None)
    tape = Tape()
    x = tape.start(shape.hidden, setting.itemsize, True)
    way = style(shape.model_type, setting.release).norm
    if module is not None:
        own = f"{module.name}.weight" in trainable
        x = normed(tape, x, module.kind, way, Trained(own, own), kernels=setting.kernels)
    elif way == PLAIN:
        x = plain_norm(tape, x)
    if (head or setting.wrapped) and not setting.kernels.loss:
        tape.op((x,), 1, 2, (x,))
    return tape.bytes()


def transformers_release(shape: ModelShape) -> tuple[int, ...]:
    """The release of transformers that runs a model."""
    return tuple(numbers(shape.transformers))
