"""From what people have to a shape, and what those who give nonsense are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsbridge.planner import ShapeError, model_shape
from dsbridge.planner.architecture import known

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 100,
}


def test_a_name_a_folder_a_file_and_keys_are_one_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    shapes = [model_shape(m) for m in (LLAMA, tmp_path, str(tmp_path / "config.json"))]
    assert len({shape.total for shape in shapes}) == 1
    assert shapes[1].name == tmp_path.name


@pytest.mark.parametrize("name", ["Qwen/Qwen2.5-7B-Instruct", "qwen2.5-7b-instruct", "Qwen2_5 7B Instruct/"])
def test_a_name_as_people_write_it(name: str) -> None:
    shape = model_shape(name)
    assert shape.name == "Qwen/Qwen2.5-7B-Instruct"
    assert (shape.total, shape.attention, shape.attention_bias) == (7_615_616_512, "gqa", True)


def test_what_a_shape_tells() -> None:
    shape = model_shape("deepseek-ai/DeepSeek-V3")
    assert shape.latent is not None
    assert shape.experts is not None
    assert (shape.attention, shape.latent.kv_rank, shape.latent.q_rank) == ("mla", 512, 1536)
    assert (shape.experts.routed, shape.experts.per_token, shape.experts.shared) == (256, 8, 1)
    assert shape.experts.layers == tuple(range(3, 61))
    assert shape.active == 37_552_282_624
    assert sum(shape.layer_parts(60).values()) == shape.largest_layer == 11_507_286_016
    gpt2 = model_shape({"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 4})
    assert (gpt2.positions, gpt2.norm, gpt2.tied) == ("learned", "layernorm", True)
    assert "vocab_size = 50257" in gpt2.assumed


def test_the_text_part_of_a_vision_model_is_counted_alone() -> None:
    text = {k: v for k, v in LLAMA.items() if k != "model_type"} | {
        "model_type": "gemma3_text",
        "head_dim": 16,
    }
    shape = model_shape({"model_type": "gemma3", "text_config": text, "vision_config": {"hidden_size": 9}})
    assert shape.omitted == ("vision_config",)
    assert shape.total == model_shape(text).total


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0"),
        ({"num_attention_heads": 5}, "hidden_size 64 does not divide into 5 attention heads"),
        ({"num_key_value_heads": 3}, "4 attention heads cannot share 3 key-value heads"),
        ({"hidden_size": "64"}, "hidden_size is '64'"),
        ({"hidden_size": -64}, "hidden_size is -64"),
        ({"vocab_size": True}, "vocab_size is True"),
        ({"model_type": "lama"}, "did you mean llama"),
        ({"model_type": None}, "does not say its model_type"),
    ],
)
def test_sizes_that_make_no_model(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ShapeError) as caught:
        model_shape({**LLAMA, **change})
    assert told in str(caught.value)
    assert caught.value.hint


def test_a_config_without_sizes() -> None:
    with pytest.raises(ShapeError, match="does not say hidden_size and num_hidden_layers"):
        model_shape({"model_type": "llama"})


def test_more_experts_for_a_token_than_there_are() -> None:
    config = {**LLAMA, "model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 5}
    with pytest.raises(ShapeError, match="5 of 4 experts"):
        model_shape(config)


def test_an_unknown_name_and_a_folder_without_a_config(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match=r"did you mean Qwen/Qwen2\.5-7B-Instruct"):
        model_shape("Qwen/Qwen2.5-7B-Instuct")
    (tmp_path / "weights.bin").touch()
    with pytest.raises(ShapeError, match=r"no config\.json .*weights\.bin"):
        model_shape(tmp_path)
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(ShapeError, match="not a mapping"):
        model_shape(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ShapeError, match="is not JSON"):
        model_shape(tmp_path)


_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 300), st.text(max_size=3), st.lists(st.integers(0, 3))
)


@given(
    st.sampled_from(known()), st.dictionaries(st.sampled_from([*LLAMA, "head_dim", "num_experts"]), _VALUES)
)
def test_no_config_ends_in_a_traceback(model_type: str, change: dict[str, Any]) -> None:
    try:
        shape = model_shape({**LLAMA, "model_type": model_type, **change})
    except ShapeError as error:
        assert error.problem
        assert error.hint
    else:
        assert shape.total > 0
