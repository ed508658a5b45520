"""Tiny models with sizes that divide by nothing, so that every padding shows."""

from __future__ import annotations

from typing import Any

import torch

from conformance.planner import quantised

# width, inner width, layers: two sizes tell what grows with the model from what does not
STACKS = {"small": (7, 13, 3), "large": (17, 29, 3)}
TOKENS = 8


class Adapted(torch.nn.Module):
    """A linear layer, with two small matrices beside it where the base is frozen."""

    def __init__(self, inner: int, outer: int, rank: int) -> None:
        super().__init__()
        self.base = torch.nn.Linear(inner, outer)
        self.rank = rank
        if rank:
            self.base.requires_grad_(False)
            self.lora_A = torch.nn.Linear(inner, rank, bias=False)
            self.lora_B = torch.nn.Linear(rank, outer, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The base, and what the small matrices add."""
        return self.base(x) + self.lora_B(self.lora_A(x)) if self.rank else self.base(x)


class Layer(torch.nn.Module):
    """Up, an activation, down, with a residual."""

    def __init__(self, width: int, inner: int, rank: int) -> None:
        super().__init__()
        self.first, self.second = Adapted(width, inner, rank), Adapted(inner, width, rank)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One layer."""
        return x + self.second(torch.relu(self.first(x)))


class Stack(torch.nn.Module):
    """Layers in a row; the loss is the mean of squares."""

    def __init__(self, size: str, rank: int, checkpointing: bool) -> None:
        super().__init__()
        width, inner, layers = STACKS[size]
        self.width, self.checkpointing = width, checkpointing
        self.layers = torch.nn.ModuleList(Layer(width, inner, rank) for _ in range(layers))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The loss."""
        for layer in self.layers:
            if self.checkpointing:
                x = torch.utils.checkpoint.checkpoint(layer, x, use_reentrant=False)
            else:
                x = layer(x)
        return x.float().square().mean()


class Llama(torch.nn.Module):
    """A tiny Llama of Transformers; the loss is the model's own."""

    def __init__(self, case: dict[str, Any]) -> None:
        super().__init__()
        from transformers import LlamaConfig, LlamaForCausalLM

        shape = case.get("llama", {})
        config = LlamaConfig(
            hidden_size=shape.get("hidden", 16),
            intermediate_size=shape.get("inner", 40),
            num_hidden_layers=shape.get("layers", 2),
            num_attention_heads=4,
            num_key_value_heads=shape.get("kv_heads", 2),
            vocab_size=shape.get("vocab", 96),
            max_position_embeddings=64,
            tie_word_embeddings=shape.get("tied", False),
            use_cache=False,
            attn_implementation=case.get("attention", "sdpa"),
        )
        self.model = LlamaForCausalLM(config)
        if case.get("checkpointing"):
            spacing = {"every_n_layers": case["every"]} if "every" in case else {}
            kwargs = {"use_reentrant": case.get("reentrant", False)}
            self.model.gradient_checkpointing_enable(kwargs, **spacing)
            # as the Trainer does for frozen models; else nothing would flow through a reentrant checkpoint
            if case.get("reentrant"):
                self.model.enable_input_require_grads()
        if case.get("rank"):
            self.model.requires_grad_(False)
            for layer in self.model.model.layers:
                layer.input_layernorm.requires_grad_(True)


def build(case: dict[str, Any]) -> torch.nn.Module:
    """The model of a case, the same on every rank."""
    torch.manual_seed(1)
    if case.get("quantised"):
        return quantised.build(case, Llama(case).model)
    if case["model"] in STACKS:
        return Stack(case["model"], case.get("rank", 0), case.get("checkpointing", False))
    holder = Llama(case)
    return holder.model


def batch(
    case: dict[str, Any], model: torch.nn.Module, dtype: torch.dtype, device: str = "cpu"
) -> dict[str, Any]:
    """One micro batch of one rank, as keyword arguments."""
    if case["model"] in STACKS:
        width = STACKS[case["model"]][0]
        x = torch.randn(
            TOKENS, width, dtype=dtype, device=device, requires_grad=bool(case.get("checkpointing"))
        )
        return {"x": x}
    ids = torch.randint(0, case.get("llama", {}).get("vocab", 96), (1, TOKENS), device=device)
    return {"input_ids": ids, "labels": ids}
