"""The shape of a model: its sizes, and how many parameters each part of it has, exactly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from dsbridge.planner.modules import PARTS, Block, Module


@dataclass(frozen=True)
class Experts:
    """A mixture of experts. `per_token` routed experts of `routed` work on a token; `shared` work on all.

    `intermediate` is the width of one routed expert. `layers` are those that have experts.
    """

    routed: int
    per_token: int
    shared: int
    intermediate: int
    layers: tuple[int, ...]


@dataclass(frozen=True)
class LatentAttention:
    """Ranks of multi-head latent attention (DeepSeek). `q_rank` is None where queries are not compressed."""

    q_rank: int | None
    kv_rank: int
    nope_head_dim: int
    rope_head_dim: int
    v_head_dim: int


@dataclass(frozen=True)
class ModelShape:
    """A causal language model as transformers builds it. Sizes are in elements, counts in parameters.

    `intermediate` is the width of a dense MLP, None where every layer has experts. `sliding_window` is
    in tokens,
    None where no layer has one. `omitted` names parts of the config that are not counted (vision, audio).
    `assumed` lists sizes that the config does not give and transformers assumes.
    """

    name: str
    model_type: str
    transformers: str
    layers: int
    hidden: int
    intermediate: int | None
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    tied: bool
    attention: str
    latent: LatentAttention | None
    experts: Experts | None
    sliding_window: int | None
    norm: str
    positions: str
    blocks: tuple[Block, ...]
    outside: tuple[Module, ...]
    prefix: str
    omitted: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()

    def __hash__(self) -> int:
        # by its sizes alone: thousands of layouts of one model are looked up by it
        return hash((self.name, self.model_type, self.transformers, self.layers, self.hidden, self.vocab))

    @cached_property
    def total(self) -> int:
        """All parameters; tied weights once, as `sum(p.numel() for p in model.parameters())`."""
        return sum(module.parameters * times for module, times in self.modules())

    @cached_property
    def active(self) -> int:
        """Parameters that one token meets: of the routed experts only `per_token`."""
        if self.experts is None:
            return self.total
        routed = self.parts["experts"]
        return self.total - routed + routed * self.experts.per_token // self.experts.routed

    @cached_property
    def parts(self) -> Mapping[str, int]:
        """Parameters of the whole model by part, in the order of `PARTS`; only parts that it has."""
        found = dict.fromkeys(PARTS, 0)
        for module, times in self.modules():
            found[module.part] += module.parameters * times
        return {part: count for part, count in found.items() if count}

    @cached_property
    def largest_module(self) -> tuple[str, int]:
        """The module that holds most parameters itself, and how many: what ZeRO-3 gathers at once at least.

        DeepSpeed's estimators call it the largest layer. With experts in one module (transformers
        5) it is all of a
        layer's experts.
        """
        largest = max((module for module, _ in self.modules()), key=lambda module: module.size)
        return largest.name, largest.size

    @cached_property
    def largest_layer(self) -> int:
        """Parameters of the largest of the repeated layers."""
        return max(block.size for block in self.blocks)

    def layer_parts(self, index: int) -> Mapping[str, int]:
        """Parameters of one layer by part."""
        block = next(block for block in self.blocks if index in block.layers)
        found: dict[str, int] = {}
        for module in block.modules:
            found[module.part] = found.get(module.part, 0) + module.parameters
        return found

    def modules(self) -> Iterator[tuple[Module, int]]:
        """Each module with the number of layers that have it; 1 outside the layers."""
        yield from ((module, 1) for module in self.outside)
        for block in self.blocks:
            yield from ((module, len(block.layers)) for module in block.modules)

    @property
    def attention_bias(self) -> bool:
        """Whether any projection of the attention adds a bias."""
        return any(module.biased for module, _ in self.modules() if module.part == "attention")
