"""Swap buffers of parameters on NVMe."""

from __future__ import annotations

from typing import Any

from tests.checks.finding import found

_DS = """{"zero_optimization": {"stage": %d, "offload_param": {"device": "%s", "nvme_path": "/n"%s}},
 "bf16": {"enabled": true}, "train_micro_batch_size_per_gpu": "auto"}"""
_RUN = "torchrun --nproc_per_node %d train.py --output_dir out --deepspeed ds.json --bf16 true"
_LLAMA: dict[str, Any] = {"model": {"vocab_size": 128256, "hidden_size": 4096}}


def _files(stage: int = 3, device: str = "nvme", more: str = "") -> dict[str, str]:
    return {"ds.json": _DS % (stage, device, more)}


def test_a_share_of_the_embedding_must_fit() -> None:
    (one,) = found("CK304", _files(), _RUN % 2, facts=_LLAMA)
    assert one.severity.value == "error"
    assert "262668288" in one.message
    assert "263,000,000" in one.hint
    assert not found("CK304", _files(), _RUN % 8, facts=_LLAMA)
    assert not found("CK304", _files(more=', "buffer_size": 263000000'), _RUN % 2, facts=_LLAMA)


def test_without_the_facts_nothing_is_said() -> None:
    assert not found("CK304", _files(), _RUN % 2)
    assert not found("CK304", _files(), facts=_LLAMA)


def test_elsewhere_there_are_no_swap_buffers() -> None:
    assert not found("CK304", _files(device="cpu"), _RUN % 2, facts=_LLAMA)
    assert not found("CK305", _files(device="cpu", more=', "buffer_size": 1e10'))
    assert not found("CK305", _files(stage=2, more=', "buffer_size": 1e10'))


def test_pinned_memory_is_counted() -> None:
    (one,) = found("CK305", _files(more=', "buffer_size": 1e9, "buffer_count": 4'))
    assert "8.0 GB" in one.message
    assert one.severity.value == "info"
    (one,) = found("CK305", _files(more=', "buffer_size": 5e9'))
    assert one.severity.value == "warning"
    assert not found("CK305", _files())
