"""Arguments that a framework does not take as they stand."""

from __future__ import annotations

from tests.checks.told import says, told

_LF = (
    "model_name_or_path: m\nstage: sft\ndo_train: true\nfinetuning_type: full\ndataset: d\n"
    "template: qwen\noutput_dir: o\n"
)
_MEGATRON = _LF + "tensor_model_parallel_size: 2\npipeline_model_parallel_size: 2\n"
_RUN = "llamafactory-cli train a.yaml"


def test_megatrons_arguments_are_taken_where_they_are_switched_on() -> None:
    """hiyouga/LLaMA-Factory examples/megatron: USE_MCA=1 llamafactory-cli train ..."""
    found = told("CK111", {"a.yaml": _MEGATRON})
    assert [one.severity.value for one in found] == ["info", "info"]
    assert all("USE_MCA=1" in one.hint for one in found)
    found = told("CK111", {"a.yaml": _MEGATRON}, _RUN)
    assert [one.severity.value for one in found] == ["error", "error"]
    assert not told("CK111", {"a.yaml": _MEGATRON}, f"USE_MCA=1 {_RUN}")
    assert not told("EX005", {"a.yaml": _MEGATRON}, f"USE_MCA=1 {_RUN}")


def test_one_of_them_alone_is_a_mistake() -> None:
    (found,) = told("CK111", {"a.yaml": _LF + "tensor_model_parallel_size: 2\n"})
    assert found.severity.value == "error"
    found = told("CK111", {"a.yaml": _MEGATRON + "foo_bar: 1\n"})
    assert {one.severity.value for one in found} == {"error"}


def test_an_old_name_is_told_with_the_new_one() -> None:
    """hiyouga/LLaMA-Factory before 0.9."""
    assert "`pref_ftx` is the argument for that" in says("CK111", {"a.yaml": _LF + "dpo_ftx: 1.0\n"})


def test_what_went_into_a_block_is_not_renamed() -> None:
    """hiyouga/LLaMA-Factory examples/extras/fp8/llama3_fp8_fsdp_sft.yaml."""
    (found,) = told("CK114", {"a.yaml": _LF + "fsdp_transformer_layer_cls_to_wrap: LlamaDecoderLayer\n"})
    assert found.hint == "Write `transformer_layer_cls_to_wrap` in `fsdp_config`."
    assert found.fix is None
