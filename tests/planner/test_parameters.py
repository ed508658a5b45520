"""The parameters of a rank: against the counts that the recorded real models have, and real AutoTP."""

from __future__ import annotations

from typing import Any

import pytest

from dsbridge.planner import model_shape
from dsbridge.planner.layout import NEWEST
from dsbridge.planner.parameters import parameters
from dsbridge.planner.quantised import quantised
from dsbridge.planner.tuning import Freeze, Lora, trained
from tests.planner.measured import of_rank, release, rows

METHODS = (
    None,
    Lora(),
    Lora(targets=("q_proj", "v_proj"), rank=4, dora=True),
    Lora(save=("lm_head",), bias="all"),
    Lora(targets=("q_proj",), bias="lora_only"),
    Freeze(layers=2),
    Freeze(layers=-1, modules=("mlp",), extra=("norm",)),
)
MODELS = ("Qwen2.5-7B", "Llama-3.2-1B", "Mixtral-8x7B-v0.1", "DeepSeek-V2-Lite")


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("method", METHODS, ids=str)
def test_they_sum_to_what_is_counted_of_the_whole(name: str, method: Lora | Freeze | None) -> None:
    shape = model_shape(name)
    try:
        wanted = trained(shape, method)
    except ValueError:
        pytest.skip("not a method for this model")
    every = parameters(shape, method, "", 1, NEWEST)
    assert sum(one.size for one in every if one.trainable) == wanted.trainable
    assert sum(one.size for one in every) == wanted.held


def test_quantised_weights_are_kept_apart() -> None:
    shape = model_shape("Qwen2.5-7B")
    every = parameters(shape, Lora(), "nf4", 1, NEWEST)
    whole = quantised(shape, "nf4")
    assert sum(one.packed for one in every) == whole.weights + whole.scales
    assert sum(one.size for one in every if not one.packed and not one.trainable) == whole.kept


LLAMA = {
    "model_type": "llama",
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 96,
    "max_position_embeddings": 64,
}
CASES = [
    pytest.param(row, id=f"{env}-{row['id']}")
    for env in ("hf", "llamafactory")
    for row in rows(env)
    if "tp" in row["case"] and "seen" in row
]


@pytest.mark.parametrize("row", CASES)
def test_autotp_leaves_the_first_rank_what_real_engines_hold(row: dict[str, Any]) -> None:
    given = row["case"].get("llama", {})
    shape = model_shape(
        {
            **LLAMA,
            "hidden_size": given.get("hidden", 16),
            "intermediate_size": given.get("inner", 40),
            "num_hidden_layers": given.get("layers", 2),
            "num_key_value_heads": given.get("kv_heads", 2),
            "tie_word_embeddings": given.get("tied", False),
        }
    )
    seen = of_rank(row["seen"]["local_sizes"], 0)
    ours = parameters(shape, None, "", row["case"]["tp"], release(row))
    assert [one.size for one in ours] == [size for size, _ in seen]
