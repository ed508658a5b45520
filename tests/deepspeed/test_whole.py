"""A config in full: two ways to write one thing give the same values."""

from __future__ import annotations

from typing import Any

import pytest

from dsbridge.deepspeed.whole import whole
from dsbridge.values import Unknown

Z = "zero_optimization"
SAME = [
    pytest.param({}, {Z: {"stage": 0}}, id="a-written-default"),
    pytest.param(
        {Z: {"stage": 2, "cpu_offload": True}},
        {Z: {"stage": 2, "offload_optimizer": {"device": "cpu"}}},
        id="a-deprecated-key",
    ),
    pytest.param(
        {Z: {"stage": 3, "stage3_gather_fp16_weights_on_model_save": True}},
        {Z: {"stage": 3, "stage3_gather_16bit_weights_on_model_save": True}},
        id="a-renamed-key",
    ),
    pytest.param(
        {Z: {"stage": 3, "max_live_parameters": 5}},
        {Z: {"stage": 3, "stage3_max_live_parameters": 5}},
        id="the-name-in-the-class",
    ),
    pytest.param(
        {Z: {"reduce_bucket_size": 5e8}}, {Z: {"reduce_bucket_size": 500_000_000}}, id="5e8-is-500000000"
    ),
    pytest.param({Z: {"overlap_comm": "auto"}}, {Z: {}}, id="an-auto-that-is-dropped"),
    pytest.param({Z: True}, {Z: {"stage": 1}}, id="a-boolean-for-a-stage"),
    pytest.param(
        {"bfloat16": {"enabled": True}}, {"bf16": {"enabled": True}}, id="the-older-name-of-a-block"
    ),
    pytest.param({Z: {"offload_param": {"device": "none"}}}, {Z: {}}, id="offload-to-nowhere"),
    pytest.param(
        {"tensor_parallel": {"tensor_parallel": {"tp_size": 2}}},
        {"tensor_parallel": {"tp": {"tp_size": 2}}},
        id="an-alias-of-a-block",
    ),
    pytest.param({"checkpoint": {"load_universal": False}}, {}, id="a-default-inside-a-plain-block"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
@pytest.mark.parametrize("version", ["0.18.4", "0.19.8"])
def test_two_ways_to_write_one_thing(one: Any, other: Any, version: str) -> None:
    assert dict(whole(one, version).values) == dict(whole(other, version).values)


def test_keys_that_nobody_reads_are_kept() -> None:
    found = whole({"foo": {"bar": 1}, "aio": {"speed": 3}}, "0.19.8")
    assert found.values["foo.bar"] == 1
    assert found.values["aio.speed"] == 3
    assert {"foo.bar", "aio.speed"} <= found.asked


def test_a_block_that_the_version_does_not_have() -> None:
    found = whole({"tensor_parallel": {"autotp_size": 2}}, "0.16.2")
    assert found.unread == {"tensor_parallel.autotp_size"}
    assert not whole({"tensor_parallel": {"autotp_size": 2}}, "0.19.8").unread


def test_what_is_unknown_does_not_hide_its_neighbours() -> None:
    unknown = Unknown(frozenset({"hidden_size"}))
    found = whole({Z: {"stage": 3, "reduce_bucket_size": unknown}}, "0.19.8")
    assert found.values[f"{Z}.stage"] == 3
    assert found.values[f"{Z}.reduce_bucket_size"] == unknown
    assert found.values[f"{Z}.overlap_comm"] is True


def test_optimizer_and_scheduler_are_told_elsewhere() -> None:
    found = whole({"optimizer": {"type": "Adam"}, "scheduler": {"type": "WarmupLR"}}, "0.19.8")
    assert not any(path.startswith(("optimizer.type", "scheduler")) for path in found.values)
