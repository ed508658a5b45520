"""The collectives, against what real engines issued: exact, in elements."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from dsbridge.planner import traffic
from dsbridge.planner.layout import Layout
from tests.planner.measured import MEASURED, layout, of_rank, release, rows


def comparable(row: dict[str, Any]) -> bool:
    """Not hpZ, whose gathers are a case of their own, nor what old releases do on CPU ranks alone.

    Before 0.19 stages 1 and 2 with `contiguous_gradients` off sort gradients by names such as
    "torch.cuda.HalfTensor"
    (`split_half_float_double`, runtime/zero/stage_1_and_2.py); no tensor is a "torch.cpu.HalfTensor", so
    none is reduced.
    """
    artefact = "no-contiguous" in row["id"] and row["case"]["stage"] < 3 and release(row) < (0, 19, 8)
    return "seen" in row and "hpz" not in row["id"] and not artefact


CASES = [
    pytest.param(row, id=f"{env}-{row['id']}") for env in MEASURED for row in rows(env) if comparable(row)
]


def tokens(row: dict[str, Any]) -> traffic.Tokens:
    """The micro batch of the tiny Llama (`conformance/planner/models.py`)."""
    shape = row["case"].get("llama", {})
    hidden = shape.get("hidden", 16)
    return traffic.Tokens(
        total=8,
        sequences=1,
        hidden=hidden,
        layers=shape.get("layers", 2),
        vocabulary=96,
        heads=4,
        kv_heads=shape.get("kv_heads", 2),
        head_size=hidden // 4,
        tied=shape.get("tied", False),
        checkpointing=row["case"].get("checkpointing", False),
    )


def gathering(row: dict[str, Any]) -> traffic.Gathering:
    """What stage 3 may keep: all, or, where `max_live` is 1, only the module that ran last."""
    if row["case"].get("zero", {}).get("stage3_max_live_parameters") != 1:
        return traffic.Gathering()
    sizes = [n for n, _ in row["seen"]["sizes"]]
    if row["case"]["model"] != "llama":
        return traffic.Gathering(True, tuple(sizes[-2:]))
    if not row["case"].get("checkpointing"):
        return traffic.Gathering(True, (sizes[-1],))
    # parameters of a layer: q, k, v, o, gate, up, down and two norms; down runs last
    per = (256, 128, 128, 256, 640, 640, 640, 16, 16)
    return traffic.Gathering(True, (sizes[-1],), (per, per), ((640,), (640,)))


def predicted(row: dict[str, Any], wanted: Layout) -> Counter[tuple[str, str, int]]:
    """All collectives of an optimizer step."""
    case = row["case"]
    parts = [
        traffic.model_states(
            wanted,
            per_owner=case.get("zero", {}).get("use_multi_rank_bucket_allreduce") is False,
            gathering=gathering(row),
        )
    ]
    if case.get("tp"):
        parts.append(traffic.tensor_parallel(tokens(row), case["tp"], release(row)))
    if case.get("ulysses"):
        parts.append(traffic.ulysses(tokens(row), case["ulysses"]))
    return traffic.per_step(traffic.together(*parts), case["g"])


def counted(row: dict[str, Any], rank: int) -> Counter[tuple[str, str, int]]:
    """What the rank issued in its third step, but for single elements."""
    total: Counter[tuple[str, str, int]] = Counter()
    for calls in of_rank(row["seen"]["moved"]["steady"], rank).values():
        for kind, dtype, ranks, elements, times in calls or ():
            if elements > 1:
                total[kind, dtype, ranks] += elements * times
    return total


@pytest.mark.parametrize("row", CASES)
def test_what_each_rank_issued_is_what_the_formulas_say(row: dict[str, Any]) -> None:
    for rank in range(row["case"]["world"]):
        assert counted(row, rank) == predicted(row, layout(row, rank)), f"rank {rank}"


@pytest.mark.parametrize("accumulation", [1, 4])
def test_the_volumes_of_the_stages(accumulation: int) -> None:
    """In parameters moved, a sum of gradients counted twice: 2, 3, 2g+1, 3g when nothing is kept."""
    seen = []
    for stage in range(4):
        spread = Layout(stage, 8, (1000,) * 8, accumulation=accumulation, persistence=0)
        moved = traffic.model_states(spread, gathering=traffic.Gathering(again=True))
        step = traffic.per_step(moved, accumulation)
        seen.append(sum((2 if kind == "all_reduce" else 1) * n for (kind, _, _), n in step.items()) / 8000)
    assert seen == [2, 3, 2 * accumulation + 1, 3 * accumulation]
