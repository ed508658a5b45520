"""Operations of a token, against the rules of thumb that they refine."""

from __future__ import annotations

from typing import Any

import pytest

from dsbridge.planner import Freeze, Lora, ModelShape, model_shape, trained
from dsbridge.planner.hardware import cluster
from dsbridge.planner.job import EAGER, Job
from dsbridge.planner.work import operations

LLAMA = model_shape("meta-llama/Meta-Llama-3-8B")


def job(shape: ModelShape = LLAMA, sequence: int = 2, **more: Any) -> Job:
    return Job(shape, cluster(1, 8, "h100"), sequence=sequence, **more)


def matrices(shape: ModelShape) -> int:
    """Weights of products; the head's, not the embedding's."""
    parts = shape.parts
    return sum(n for part, n in parts.items() if "norm" not in part and part != "embedding")


def test_six_operations_a_weight_and_eight_with_checkpointing() -> None:
    weights, head = matrices(LLAMA), LLAMA.parts["head"]
    assert weights == LLAMA.total - LLAMA.parts["embedding"] - 65 * 4096
    forward, backward = operations(job(), spacing=0)
    assert forward == pytest.approx(2 * weights, rel=1e-4)
    assert backward == pytest.approx(4 * weights, rel=1e-4)
    _, again = operations(job(), spacing=1)
    _, some = operations(job(), spacing=2)
    assert some == pytest.approx((backward + again) / 2)
    assert again - backward == pytest.approx(2 * (weights - head), rel=1e-4)


def test_attention_is_twelve_layers_hidden_sequence_or_the_causal_half() -> None:
    short, long = job(), job(sequence=32_768)
    for attention, share in ((EAGER, 1.0), ("flash", 0.5)):
        more = sum(operations(long._replace(attention=attention), spacing=0)) - sum(
            operations(short._replace(attention=attention), spacing=0)
        )
        assert more == pytest.approx(share * 12 * 32 * 4096 * 32_768, rel=1e-3)


def test_a_tied_head_counts_and_the_embedding_does_not() -> None:
    tied = model_shape("meta-llama/Llama-3.2-1B")
    assert tied.tied
    forward, _ = operations(job(tied), spacing=0)
    assert forward == pytest.approx(2 * tied.total, rel=1e-3)


def test_a_token_meets_few_experts() -> None:
    moe = model_shape("Qwen/Qwen3-30B-A3B")
    forward, _ = operations(job(moe), spacing=0)
    assert forward == pytest.approx(2 * (moe.active - moe.parts["embedding"]), rel=1e-3)


def test_lora_has_no_gradients_of_what_is_frozen() -> None:
    lora = Lora(rank=8)
    weights, added = matrices(LLAMA), trained(LLAMA, lora).added
    forward, backward = operations(job(method=lora), spacing=0)
    assert forward == pytest.approx(2 * (weights + added), rel=1e-4)
    # inputs' gradients from the first adapter on, weights' of the adapters
    assert backward == pytest.approx(2 * (weights + added) + 2 * added, rel=0.005)
    quantised, _ = operations(job(method=lora, scheme="nf4"), spacing=0)
    assert quantised == forward


def test_a_freeze_of_the_last_layers_stops_where_they_begin() -> None:
    freeze = Freeze(layers=8)
    _, backward = operations(job(method=freeze), spacing=0)
    layer = LLAMA.largest_layer
    assert backward == pytest.approx(2 * (8 * layer * 2 + LLAMA.parts["head"]), rel=0.02)
