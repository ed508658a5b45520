"""The aio block and NVMe."""

from __future__ import annotations

import pytest

from tests.checks.finding import found

_DS = """{"zero_optimization": {"stage": %d, "offload_optimizer": {"device": "%s", "nvme_path": "/n"}}, %s
 "bf16": {"enabled": true}, "train_batch_size": 2}"""
_AIO = '"aio": {"queue_depth": 32},'


@pytest.mark.parametrize(
    ("stage", "device", "aio", "code"),
    [
        (3, "cpu", _AIO, "CK307"),
        (2, "nvme", _AIO, "CK307"),
        (3, "nvme", "", "CK308"),
        (3, "nvme", _AIO, ""),
        (3, "cpu", "", ""),
        (2, "nvme", "", ""),
    ],
)
def test_each_wants_the_other(stage: int, device: str, aio: str, code: str) -> None:
    files = {"ds.json": _DS % (stage, device, aio)}
    assert [name for name in ("CK307", "CK308") if found(name, files)] == ([code] if code else [])
