"""Buckets that take gigabytes."""

from __future__ import annotations

import pytest

from tests.checks.finding import found


def _ds(more: str, number: str = '"bf16": {"enabled": true}') -> dict[str, str]:
    return {"ds.json": f'{{"zero_optimization": {{{more}}}, {number}, "train_batch_size": 2}}'}


@pytest.mark.parametrize(
    ("more", "severity", "size"),
    [
        ('"stage": 2, "overlap_comm": true, "reduce_bucket_size": 5e8', "info", "2.0 GB"),
        ('"stage": 2, "overlap_comm": true, "reduce_bucket_size": 2000000000', "warning", "8.0 GB"),
        ('"stage": 3, "overlap_comm": true, "reduce_bucket_size": 1e9', "info", "2.0 GB"),
        ('"stage": 1, "reduce_bucket_size": 1e9', "info", "2.0 GB"),
    ],
    ids=["two buffers", "twice as large", "stage 3 has one", "no overlap below stage 3"],
)
def test_the_size_is_said(more: str, severity: str, size: str) -> None:
    (one,) = found("CK310", _ds(more))
    assert one.severity.value == severity
    assert size in one.message


@pytest.mark.parametrize(
    "more",
    [
        '"stage": 2, "overlap_comm": true, "reduce_bucket_size": 2e8',
        '"stage": 2, "overlap_comm": true',
        '"stage": 0, "reduce_bucket_size": 5e9',
        '"stage": 3, "contiguous_gradients": false, "reduce_bucket_size": 5e9',
        '"stage": 2, "overlap_comm": true, "reduce_bucket_size": "auto"',
    ],
    ids=["small", "the default", "no ZeRO", "no buffer", "auto"],
)
def test_what_costs_little_is_not_told(more: str) -> None:
    assert not found("CK310", _ds(more))


def test_float32_counts_four_bytes() -> None:
    (one,) = found("CK310", _ds('"stage": 2, "reduce_bucket_size": 5e8', '"fp16": {"enabled": false}'))
    assert "x 4 bytes" in one.message


def test_live_parameters_beyond_the_default() -> None:
    (one,) = found("CK312", _ds('"stage": 3, "stage3_max_live_parameters": 5000000000'))
    assert "10.0 GB" in one.message
    assert not found("CK312", _ds('"stage": 3, "stage3_max_live_parameters": 1e9'))
    assert not found("CK312", _ds('"stage": 2, "stage3_max_live_parameters": 5e9'))
