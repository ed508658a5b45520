"""What layers keep, against what autograd saved in real models."""

from __future__ import annotations

from typing import Any

import pytest

from dsbridge.planner import model_shape
from dsbridge.planner.activations import kept, last_norm
from dsbridge.planner.candidate import running_again
from dsbridge.planner.flow import Setting
from dsbridge.planner.liger import replaced
from dsbridge.planner.logits import DROPPED, HELD
from dsbridge.planner.styles import style
from tests.planner.recorded_activations import (
    ENVIRONMENTS,
    SEQUENCE,
    TOKENS,
    method,
    rows,
    said,
    setting,
    shape,
)

# phimoe of 4.51.3 routes by its own sparse mixer: the masks of its experts are not in the tape
LOOSER = {"phimoe": 0.012, "gpt2": 0.012}


def chosen(*, checkpointing: bool) -> list[Any]:
    return [
        pytest.param(index, id=f"{row['env']}-{row['id']}")
        for index, row in enumerate(rows())
        if "kept" in row and bool(row["case"].get("checkpointing")) == checkpointing
    ]


def seen_and_said(index: int) -> tuple[float, float]:
    """Bytes that one layer kept: not the first, which is the first to keep the table of angles."""
    row, found = rows()[index], said(index)
    layer = shape(index).layers - 1 if row["case"]["method"] == "last-layer" else 1
    tokens = TOKENS // row["case"].get("ulysses", 1)
    # where only the last layer keeps anything, it keeps the table
    table = 2 * 2 * SEQUENCE * shape(index).head_dim if row["case"]["method"] == "last-layer" else 0
    table = 0 if row["case"]["model"] == "gpt2" else table
    return row["kept"][f"layer {layer}"] - table, tokens * found.layers[layer] + found.constants[layer]


@pytest.mark.parametrize("index", chosen(checkpointing=False))
def test_a_layer_keeps_what_autograd_saved(index: int) -> None:
    row = rows()[index]
    if not style(row["case"]["model"]).measured:
        pytest.skip("told as a wide range: what is fast on a GPU is another kernel than on a CPU")
    seen, found = seen_and_said(index)
    assert found == pytest.approx(seen, rel=LOOSER.get(row["case"]["model"], 0.01))


def test_most_are_exact() -> None:
    """The tape is no fit: two of three layers are met to the byte."""
    indexes = [param.values[0] for param in chosen(checkpointing=False)]
    pairs = [seen_and_said(int(str(index))) for index in indexes]
    exact = sum(seen == found for seen, found in pairs)
    assert len(pairs) > 200
    assert exact > 2 / 3 * len(pairs)


def test_many_architectures_were_recorded_in_both_releases() -> None:
    for env in ENVIRONMENTS:
        models = {row["case"]["model"] for row in rows() if row["env"] == env and "kept" in row}
        assert len(models) >= 25, env


@pytest.mark.parametrize("index", chosen(checkpointing=False))
def test_the_norm_behind_the_layers_and_the_heads_input(index: int) -> None:
    row, model = rows()[index], shape(index)
    if row["case"].get("float32") or "ulysses" in row["case"]:
        pytest.skip("the loss of these keeps other things")
    way = method(row["case"], model)
    trained = row["case"]["method"] == "full"
    own = last_norm(model, way, "", setting(index), trained)
    logits = 4 * model.vocab + 8  # log-softmax in fp32, and the labels
    if row["case"].get("liger"):  # its loss saves gradients
        head = 2 * model.vocab * model.hidden * trained
        assert row["kept"]["after"] == TOKENS * (own + 2 * model.hidden) + head
        return
    rest = row["kept"]["after"] - TOKENS * logits - 4
    capped = 2 * model.vocab if model.model_type == "gemma2" else 0
    assert TOKENS * (own + capped) == pytest.approx(rest, rel=0.02, abs=600)


@pytest.mark.parametrize("index", chosen(checkpointing=True))
def test_checkpoints_and_a_layer_at_work(index: int) -> None:
    """All that was alive at most, in a model with small logits: while a layer ran again and went back."""
    row, model, found = rows()[index], shape(index), said(index)
    reentrant, spacing = bool(row["case"].get("reentrant")), row["case"].get("every", 1)
    stored = 2 * TOKENS * model.hidden * (running_again(spacing, model.layers) + reentrant)
    staying = [layer for layer in range(model.layers) if layer % spacing]
    stored += sum(TOKENS * found.layers[layer] + found.constants[layer] for layer in staying)
    logits = 2 * TOKENS * model.vocab  # the caller holds them
    work = TOKENS * found.busy + max(found.constants)
    seen = row["alive"]["most"]
    least, most = style(model.model_type).work
    assert stored + logits + least * work <= seen <= stored + logits + most * work


def plain() -> list[Any]:
    return [
        param
        for param in chosen(checkpointing=False)
        if rows()[int(str(param.values[0]))]["case"]["method"] == "full"
        and not {"tp", "ulysses", "float32", "dropped", "liger"}
        & set(rows()[int(str(param.values[0]))]["case"])
    ]


@pytest.mark.parametrize("index", plain())
def test_the_loss_goes_back_with_fourteen_bytes_an_entry(index: int) -> None:
    """Where the caller holds the logits: 6 of them are alive at the end of the forward pass."""
    row, model = rows()[index], shape(index)
    grown = row["alive"]["most"] - row["alive"]["forward"]
    entries = TOKENS * model.vocab
    scaled = ("gemma2", "gpt2", "cohere", "granitemoe")
    if grown == 0 or model.model_type in scaled:
        pytest.skip("more is alive in a layer than in the loss of so few entries, or logits are scaled")
    assert grown == pytest.approx((HELD - 6) * entries, rel=0.02)


def test_two_bytes_less_where_the_caller_let_go_of_the_logits() -> None:
    most = {(row["env"], row["id"]): row["alive"]["most"] for row in rows() if "alive" in row}
    dropped = [key for key in most if "dropped" in key[1]]
    assert len(dropped) == 4
    entries = TOKENS * shape(0).vocab
    for env, title in dropped:
        held = most[env, title.removesuffix(" dropped")]
        assert held - most[env, title] == (HELD - DROPPED) * entries


def test_engines_in_bf16_cast_adapters() -> None:
    """So the planner counts adapters in the model's dtype, whatever PEFT made them."""
    found = [row for row in rows() if "dtypes" in row and row["case"]["method"] == "lora-fp32"]
    assert {row["case"]["engine"] for row in found} == {0, 1, 2, 3}
    for row in found:
        before, after = row["dtypes"]
        assert before["adapters"] == ["float32"]
        assert after["adapters"] == ["bfloat16"]


def test_stage_3_keeps_the_inputs_of_frozen_maps() -> None:
    """It replaces torch's linear, which looks at what needs a gradient, by one that keeps its input
    always."""
    kept_by = {
        (row["env"], row["case"]["engine"], "init" in row["case"]): row["kept"]["layer 1"]
        for row in rows()
        if "engine" in row["case"] and row["case"]["method"] == "lora-some-bf16"
    }
    for env in ENVIRONMENTS:
        assert kept_by[env, 3, True] > kept_by[env, 2, False]
    assert kept_by["hf", 3, False] == kept_by["hf", 3, True]
    assert kept_by["hf-old", 3, False] == kept_by["hf-old", 2, False]


@pytest.mark.parametrize(("tp", "wanted"), [(1, 16 + 5 + 28), (2, 16 + 2.5 + 14), (4, 16 + 1.25 + 7)])
def test_the_closed_form_of_llama(tp: int, wanted: float) -> None:
    """16 + (4q + 4k)/t + 8f/t bytes a token and hidden element: AutoTP cuts neither norms nor the
    residual."""
    shape = model_shape("meta-llama/Llama-3.1-8B")
    found = kept(shape, None, "", Setting(), tp).layers[0] / shape.hidden
    small = 2 * 4 / shape.hidden + 4 * 32 / tp / shape.hidden  # roots of the norms, sums of the kernel
    assert found == pytest.approx(wanted + small)


def test_ligers_kernels_keep_less() -> None:
    """8 + 4q + 4k + 6f: norms keep their input as it is, the MLP not the activated gate."""
    shape = model_shape("meta-llama/Llama-3.1-8B")
    found = kept(shape, None, "", Setting(kernels=replaced("llama")))
    small = 2 * 4 / shape.hidden + 4 * 32 / shape.hidden
    assert found.layers[0] / shape.hidden == pytest.approx(8 + 5 + 21 + small)
    plain = kept(shape, None, "", Setting())
    assert found.busy - found.layers[0] < plain.busy - plain.layers[0]


def test_ulysses_keeps_the_context_twice() -> None:
    shape = model_shape("meta-llama/Llama-3.1-8B")
    whole, cut = (kept(shape, None, "", Setting(ulysses=n)).layers[0] for n in (1, 2))
    assert cut - whole == 2 * shape.hidden


def test_eager_attention_grows_with_the_sequence() -> None:
    shape = model_shape("meta-llama/Llama-3.1-8B")
    short, long = (kept(shape, None, "", Setting(flash=False, sequence=s)).layers[0] for s in (1000, 2000))
    assert long - short == 6 * 1000 * shape.heads


def test_layers_below_what_is_trained_keep_nothing() -> None:
    from dsbridge.planner import Freeze

    shape = model_shape("meta-llama/Llama-3.1-8B")
    found = kept(shape, Freeze(layers=2), "", Setting())
    assert not any(found.layers[:-2])
    assert all(found.layers[-2:])
