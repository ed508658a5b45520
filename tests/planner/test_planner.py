"""The parts of the planner that no recording reaches: the little language, the catalogue, refusals."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from dsbridge.planner import Freeze, Lora, ShapeError, catalogue, model_shape, quantised, trained
from dsbridge.planner.catalogue import find, near, normalised
from dsbridge.planner.expressions import BadExpression, MissingKeys, Names, evaluate
from dsbridge.planner.quantised import fp8, gptq
from dsbridge.plugins import Origin, Registry, registry
from dsbridge.sdk import ModelEntry, hookimpl


def test_expressions_know_sizes_and_conditions_and_nothing_else() -> None:
    names = Names({"a": 6, "kinds": ["x", "y"]}, {"b": "a // 2", "c": "b + 1"})
    assert evaluate("c * 2 if kinds[1] == 'y' else 0", names) == 8
    assert evaluate("nobody is None", names)
    with pytest.raises(MissingKeys, match="nobody"):
        evaluate("a * nobody", names)
    for text in ("print(1)", "a.real", "[x for x in kinds]", "lambda: 1"):
        with pytest.raises(BadExpression):
            evaluate(text, names)


def test_no_two_models_share_a_name() -> None:
    names = [normalised(name) for entry in catalogue() for name in entry.names]
    assert len(names) == len(set(names))
    assert len(catalogue()) >= 56


def test_near_names() -> None:
    assert find("no such model") is None
    assert find("meta-llama/Llama-3.1-8B-Instruct") == find("Meta-Llama-3.1-8B-Instruct")
    assert find("meta-llama/Llama-3.1-8B-Instruct") is not None
    assert "mistralai/Mistral-7B-v0.1" in near("mistral 7b v1")


def test_full_freezes_nothing() -> None:
    shape = model_shape("Qwen/Qwen3-8B")
    assert trained(shape).trainable == trained(shape).held == shape.total


@pytest.mark.parametrize(
    ("method", "told"),
    [
        (Lora(rank=0), "LoRA's rank is 0"),
        (Lora(targets=("wq",)), "it has down_proj"),
        (Lora(targets=("input_layernorm",)), "cannot be put on"),
        (Freeze(layers=0), "freeze trains 0 layers"),
        (Freeze(modules=("attn",)), "choose from"),
    ],
)
def test_methods_that_make_no_sense(method: Lora | Freeze, told: str) -> None:
    with pytest.raises(ShapeError, match=told):
        trained(model_shape("Qwen/Qwen3-8B"), method)


def test_newer_peft_takes_adapters_from_shared_experts_and_gives_them_to_fused_ones() -> None:
    shape = model_shape("deepseek-ai/DeepSeek-V2-Lite")
    old, new = (trained(shape, Lora(rank=8, peft=peft)).added for peft in ("0.18.1", "0.21.2"))
    assert new > 10 * old
    with pytest.raises(ShapeError, match="without up_proj"):
        trained(shape, Lora(targets=("gate_proj", "q_proj")))


def test_layouts_of_quantised_matrices() -> None:
    # auto-gptq 0.7.1 qlinear_cuda_old.py: qweight, qzeros, scales, g_idx
    assert gptq(256, 320) == (256 * 320 // 2, 2 * 2 * 320 + 4 * 2 * 40 + 4 * 256)
    # transformers 5.6.0 integrations/finegrained_fp8.py: FP8Linear(200, 300) has weight_scale_inv (3, 2)
    assert fp8(200, 300) == (60000, 4 * 3 * 2)
    with pytest.raises(ShapeError, match="give one of nf4"):
        quantised(model_shape("Qwen/Qwen3-8B"), "int2")


def test_fused_experts_stay_as_they_are() -> None:
    new, old = (quantised(model_shape("mistralai/Mixtral-8x7B-v0.1", v)) for v in ("5.23.0", "4.51.3"))
    assert new.kept > 45_000_000_000 > old.kept


class Plugin:
    """Brings what it is given."""

    def __init__(self, *several: Any) -> None:
        self.several = several

    @hookimpl
    def dsbridge_models(self) -> Iterable[Any]:
        return self.several


@pytest.fixture
def known() -> Registry:
    """All installed plugins, and room for more."""
    return registry.__wrapped__()


QWEN = find("Qwen/Qwen2.5-7B")
assert QWEN is not None
HOUSE = ModelEntry("House-7B", ("house/House-7B",), "7B", QWEN[1].config, "our own")


def test_a_plugin_adds_a_model(known: Registry) -> None:
    known.add(Plugin(HOUSE), Origin("mine", "mine 1.0"))
    assert find("house-7b", known) == ("house/House-7B", HOUSE)
    assert near("house 8b", known)[0] == "house/House-7B"
    assert find("Qwen/Qwen2.5-7B", known) == QWEN
    assert not known.failures
    assert find("house-7b") is None


BROKEN = [
    (Plugin("a text"), "dsbridge_models gives str, not dsbridge.sdk.ModelEntry"),
    (
        Plugin(HOUSE._replace(names=("qwen/qwen2.5-7b",))),
        "model `qwen/qwen2.5-7b` is already taken by dsbridge",
    ),
    (Plugin(HOUSE, HOUSE), "model `house/House-7B` is already taken by this plugin"),
    (Plugin(HOUSE._replace(names=())), "model `House-7B` has no names"),
    (Plugin(HOUSE._replace(config={"model_type": "house"})), "ShapeError: "),
]


@pytest.mark.parametrize(("plugin", "says"), BROKEN)
def test_a_model_that_breaks_the_contract_is_named(known: Registry, plugin: Plugin, says: str) -> None:
    known.add(plugin, Origin("mine", "mine 1.0"))
    assert find("house-7b", known) is None
    (failure,) = known.failures
    assert str(failure).startswith("plugin `mine` (package mine 1.0): ")
    assert says in str(failure)
