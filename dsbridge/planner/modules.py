"""What a model is made of: modules with their weights, and layers that hold the same modules."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Final

LINEAR, CONV1D, EMBEDDING, RMS, LAYERNORM, OTHER = (
    "linear",
    "conv1d",
    "embedding",
    "rms",
    "layernorm",
    "other",
)
PARTS: Final = (
    *("embedding", "positions", "attention", "attention_norm", "qk_norm", "mlp"),
    *("router", "experts", "shared_experts", "norm", "final_norm", "head"),
)


@dataclass(frozen=True)
class Module:
    """One module as transformers names it, with the weights that it holds itself.

    `name` counts from the layer (`self_attn.q_proj`), or from the model outside layers; `{}` in it stands for
    the numbers 0 to `copies` - 1. `weights` are (name, shape) as in `named_parameters`. `tied` names a
    weight that
    is another module's too and is counted there.
    """

    name: str
    part: str
    kind: str
    weights: tuple[tuple[str, tuple[int, ...]], ...]
    copies: int = 1
    tied: str = ""

    @property
    def size(self) -> int:
        """Parameters of one copy, a tied weight with them."""
        return sum(prod(shape) for _, shape in self.weights)

    @property
    def parameters(self) -> int:
        """Parameters of all copies; a tied weight is counted where it belongs, not here."""
        return self.copies * sum(prod(shape) for name, shape in self.weights if name != self.tied)

    @property
    def matrix(self) -> tuple[int, int] | None:
        """(inputs, outputs) of a linear map; None for anything else."""
        shape = dict(self.weights).get("weight", ())
        if self.kind == LINEAR:
            return shape[1], shape[0]
        return (shape[0], shape[1]) if self.kind == CONV1D else None

    @property
    def biased(self) -> bool:
        """Whether it adds a bias."""
        return any(name == "bias" for name, _ in self.weights)


@dataclass(frozen=True)
class Block:
    """Layers that hold the same modules: their indexes, and what each of them holds."""

    layers: tuple[int, ...]
    modules: tuple[Module, ...]

    @property
    def size(self) -> int:
        """Parameters of one of these layers."""
        return sum(module.parameters for module in self.modules)
