"""DeepSpeed's own estimates: what the real functions gave in four releases, and what its guides print."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest

from dsbridge.planner import estimators, model_shape
from tests.conftest import ROOT
from tests.planner.measured import ENVIRONMENTS

GIB = 2**30
T0_3B = (2_783_959_040, 65_798_144)
T5_3B = (2_851_000_000, 32_000_000)


@cache
def recorded(env: str) -> dict[str, Any]:
    path = ROOT / "tests" / "recorded" / "planner" / f"estimators-{env}.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def shown(rows: list[estimators.Estimate], stage: int) -> list[tuple[str, str]]:
    """Host and GPU as the guides round them."""
    return [(f"{row.cpu / GIB:.2f}", f"{row.gpu / GIB:.2f}") for row in rows if row.stage == stage]


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_the_real_functions_gave_the_same_bytes(env: str) -> None:
    cases = recorded(env)["cases"]
    assert len(cases) == 200
    for case in cases:
        asked = case["asked"]
        where = {key: asked[key] for key in ("total", "per_node", "nodes", "factor")}
        more = {key: asked[key] for key in ("largest", "offload_param", "offload_optimizer", "zero_init")}
        assert list(estimators.zero2(offload=asked["offload_optimizer"], **where)) == case["zero2"]
        assert list(estimators.zero3(**where, **more)) == case["zero3"]


def test_the_recordings_cover_every_branch() -> None:
    asked = [case["asked"] for case in recorded("hf")["cases"]]
    kinds = {(one["offload_optimizer"], one["offload_param"], one["zero_init"]) for one in asked}
    assert kinds == {(o, p, z) for o, p in ((1, 1), (1, 0), (0, 0)) for z in (0, 1)}
    assert {recorded(env)["versions"]["deepspeed"] for env in ENVIRONMENTS} == {
        "0.16.2",
        "0.16.9",
        "0.18.4",
        "0.19.8",
    }


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_the_printed_tables_are_the_real_ones(env: str) -> None:
    for table in recorded(env)["tables"]:
        ours = estimators.printed(
            table["stage"], table["total"], table["largest"], table["per_node"], table["nodes"]
        )
        # the recordings were made on Python 3.11
        assert ours == table["text"].replace("OffloadDeviceEnum.cpu", "cpu ")


def test_the_documented_table_of_t0_3b() -> None:
    # huggingface.co/docs/transformers/deepspeed and /perf_train_gpu_many: one GPU; DeepSpeed's memory.rst
    one = list(estimators.rows(*T0_3B))
    assert shown(one, 3) == [
        ("70.00", "0.25"),
        ("70.00", "0.25"),
        ("62.23", "5.43"),
        ("62.23", "5.43"),
        ("0.37", "46.91"),
        ("15.56", "46.91"),
    ]
    assert shown(list(estimators.rows(*T0_3B, per_node=8)), 3)[1::2] == [
        ("124.45", "0.25"),
        ("124.45", "0.89"),
        ("124.45", "6.08"),
    ]


def test_the_documented_tables_of_t5_3b() -> None:
    rows = list(estimators.rows(*T5_3B, per_node=8))
    assert shown(rows, 3) == [
        ("71.69", "0.12"),
        ("127.45", "0.12"),
        ("63.72", "0.78"),
        ("127.45", "0.78"),
        ("1.43", "6.09"),
        ("127.45", "6.09"),
    ]
    # memory.rst still shows 15.93 for the last: 4 + 16/n bytes, which releases before 0.14 printed
    assert shown(rows, 2) == [("127.45", "5.31"), ("127.45", "11.28")]


def test_a_model_is_counted_for_them() -> None:
    rows = estimators.table(model_shape("meta-llama/Llama-3.1-8B"), [(1, 8), (2, 8)])
    assert [(row.nodes, row.per_node) for row in rows] == [(1, 8)] * 8 + [(2, 8)] * 8
    assert shown(rows[:8], 3) == [
        ("201.93", "1.96"),
        ("358.98", "1.96"),
        ("179.49", "3.83"),
        ("358.98", "3.83"),
        ("23.48", "18.78"),
        ("358.98", "18.78"),
    ]
    # with offload, stage 2's "per CPU" counts all GPUs: each of two nodes is said to need twice as much
    assert shown(rows[:8], 2) == [("358.98", "14.96"), ("358.98", "31.78")]
    assert shown(rows[8:], 2) == [("717.96", "14.96"), ("358.98", "23.37")]
