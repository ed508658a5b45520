"""The formulas of model states, against what real engines held."""

from __future__ import annotations

from typing import Any

import pytest

from dsbridge.planner import states
from dsbridge.planner.layout import Layout
from tests.batches import batches, case
from tests.planner.measured import MEASURED, counted, layout, rows

CASES = [(f"{env}-{row['id']}", row) for env in MEASURED for row in rows(env) if "seen" in row]


def without_counters(part: str, seen: int, said: int, counters: int) -> int:
    """Adam keeps a step counter of one element for each tensor that it updates."""
    return said if part == "states" and 0 <= seen - said <= counters else seen


@pytest.mark.parametrize("several", batches(CASES))
def test_what_each_rank_held_is_what_the_formulas_say(several: list[tuple[str, dict[str, Any]]]) -> None:
    for name, row in several:
        with case(name):
            hold(row)


def hold(row: dict[str, Any]) -> None:
    for rank in range(row["case"]["world"]):
        wanted = layout(row, rank)
        said = states.held(wanted, rank // row["case"].get("tp", 1))
        for moment, found in row["seen"]["held"].items():
            if moment not in states.MOMENTS:
                continue
            seen = {
                part: {
                    dtype: without_counters(
                        part, elements, said[moment].get(part, {}).get(dtype, 0), len(wanted.trainable)
                    )
                    for dtype, elements in held.items()
                }
                for part, held in counted(found, rank).items()
            }
            seen = {part: {d: n for d, n in held.items() if n} for part, held in seen.items()}
            assert seen == said[moment], f"rank {rank}, {moment}"


def test_the_flat_group_is_padded_to_twice_the_ranks() -> None:
    assert states.flat([606], 2) == 608
    assert states.flat([3, 4], 4) == 8
    assert states.flat([8], 4) == 8


def test_a_shard_is_padded_by_parameter() -> None:
    assert states.sharded([7, 8], 4) == 4


def test_all_touched_parameters_are_counted_whole() -> None:
    spread = Layout(2, 2, (3, 10, 3))
    assert states.touched(spread, 0) == states.touched(spread, 1) == 13


def test_round_robin_changes_the_order_alone() -> None:
    spread = Layout(2, 2, (1, 2, 3, 4), round_robin=True)
    assert states.in_flat_order(spread) == [1, 3, 2, 4]


def test_bytes_per_parameter_are_those_of_the_rule_of_sixteen() -> None:
    big = (1_000_000,) * 40
    for stage, between, stepping in ((0, 14, 20), (1, 2 + 12 / 8, 2 + 16 / 8), (2, 2 + 12 / 8, 2 + 16 / 8)):
        held = states.held(Layout(stage, 8, big))
        assert states.size(held[states.BETWEEN]) / sum(big) == between
        assert states.size(held[states.STEPPING]) / sum(big) == stepping
