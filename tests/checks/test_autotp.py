from __future__ import annotations

import json

from dsbridge.deepspeed.autotp import FIRST, does, refuses_family, since, until
from tests.checks.told import says, told

RUN = "train.py --deepspeed ds.json --output_dir o --per_device_train_batch_size 2"
FOUR = f"torchrun --nproc_per_node 4 {RUN}"
OLD = {"deepspeed": "0.18.4", "transformers": "4.57.1", "accelerate": "1.11.0"}
QWEN = {"num_attention_heads": 16, "num_key_value_heads": 2, "model_type": "qwen2"}
FULL = "model_name_or_path: m\nstage: sft\ndo_train: true\nfinetuning_type: full\ndataset: d\n"
YAML = FULL + "template: qwen\noutput_dir: o\ndeepspeed: ds.json\nper_device_train_batch_size: 2\n"
FACTORY = "FORCE_TORCHRUN=1 NPROC_PER_NODE=4 llamafactory-cli train y.yaml"


def _ds(block: object, stage: int = 2, **more: object) -> dict[str, str]:
    zero = {"stage": stage, "gather_16bit_weights_on_model_save": True}
    value = {"train_micro_batch_size_per_gpu": 2, "zero_optimization": zero, "tensor_parallel": block, **more}
    return {"ds.json": json.dumps(value, indent=1)}


def test_the_table() -> None:
    assert since("reads_block") == FIRST
    assert until("refuses_stage_3") == "0.19.4"
    assert does("engine_splits", "0.18.6")
    assert not does("engine_splits", "0.18.5")
    assert refuses_family("GPT2", "0.16.9")
    assert not refuses_family("llama", "0.16.9")


def test_keys_that_do_not_switch_it_on() -> None:
    for block in ({"enabled": True, "tp_size": 2}, {"tp_size": 2}, {"degree": 2}):
        for command in ("", FOUR):
            (found,) = told("CK410", _ds(block), command)
            assert found.severity.value == "error"
            assert found.fix is not None
            assert found.fix.edits[0].value == "autotp_size"
    assert "stays 0" in says("CK410", _ds({"tensor_parallel": {"tp_size": 2}}))
    assert "stays 0" in says("CK410", _ds({"tp": {"tp_size": 2}}), FOUR)


def test_a_block_that_is_right_or_off_is_none_of_these() -> None:
    for block in ({"autotp_size": 2}, {"autotp_size": 0}, {"tp": {"tp_size": 1}}, {}, {"enabled": False}):
        assert not told("CK410", _ds(block)), block
    assert not told("CK410", _ds({"autotp_size": 2, "tp": {"tp_size": 2}}))


def test_two_sizes() -> None:
    block = {"autotp_size": 2, "tp": {"tp_size": 4}}
    assert says("CK410", _ds(block), FOUR).startswith("error")
    assert says("CK410", _ds(block), FOUR, versions=OLD).startswith("warning")


def test_packages_that_are_too_old() -> None:
    files = _ds({"autotp_size": 2})
    assert "deepspeed 0.16.3 ignores" in says("CK411", files, versions={"deepspeed": "0.16.3"})
    assert "accelerate 1.5.2" in says("CK411", files, FOUR, versions={**OLD, "accelerate": "1.5.2"})
    assert "transformers 4.49.0" in says("CK411", files, FOUR, versions={**OLD, "transformers": "4.49.0"})
    assert not told("CK411", files, FOUR, versions=OLD)
    assert not told("CK411", files)


def test_stage_3_by_release() -> None:
    files = _ds({"autotp_size": 2}, 3)
    assert "DeepSpeed 0.18.4 stops" in says("CK413", files, FOUR, versions=OLD)
    assert "Transformers 5" in says("CK413", files, FOUR)
    assert says("CK413", files).startswith("info")
    newer = {**OLD, "deepspeed": "0.19.4"}
    assert not told("CK413", files, FOUR, versions=newer)
    assert not told("CK413", _ds({"autotp_size": 2}, 2), FOUR, versions=OLD)


def test_heads() -> None:
    files, four = _ds({"autotp_size": 4}), {"model": QWEN}
    assert "2 key-value heads: DeepSpeed 0.18.4 cuts" in says("CK415", files, FOUR, facts=four, versions=OLD)
    assert says("CK415", files, FOUR, facts=four).startswith("warning")
    assert says("CK415", files).startswith("info")
    assert not told("CK415", _ds({"autotp_size": 2}), FOUR, facts=four, versions=OLD)
    beside = {**files, "y.yaml": YAML, "m/config.json": json.dumps({"text_config": QWEN})}
    assert "The model takes 2." in says("CK415", beside, FACTORY, versions=OLD)


def test_lora() -> None:
    files = {**_ds({"autotp_size": 2}), "y.yaml": YAML.replace("full", "lora")}
    assert says("CK417", files, FACTORY).startswith("warning")
    assert not told("CK417", {**files, "y.yaml": YAML}, FACTORY)
    assert not told("CK417", {**files, **_ds({"autotp_size": 1})}, FACTORY)


def test_the_batch_that_is_reported() -> None:
    text = says("CK418", _ds({"autotp_size": 2}), FOUR)
    assert "trains 4 samples" in text
    assert "says 8" in text


def test_ranks_and_nodes() -> None:
    assert "3 or 6 ranks" in says("CK419", _ds({"autotp_size": 3}), FOUR)
    assert not told("CK419", _ds({"autotp_size": 8}), FOUR)  # told by the rule that stops it
    two = f"torchrun --nnodes 2 --nproc_per_node 4 --node_rank 0 --master_addr a {RUN}"
    assert told("CK420", _ds({"autotp_size": 8}), two)
    assert not told("CK420", _ds({"autotp_size": 4}), two)


def test_saving() -> None:
    files = _ds({"autotp_size": 2}, zero_optimization={"stage": 1})
    (found,) = told("CK414", files, FOUR)
    assert found.fix is not None
    assert not told("CK414", files)  # nobody knows who saves
    assert not told("CK414", _ds({"autotp_size": 2}), FOUR)
