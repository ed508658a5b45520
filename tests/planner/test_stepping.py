"""What an optimizer step allocates, against what was counted in real engines."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest

from dsbridge.planner import states, stepping
from dsbridge.planner.layout import Layout
from tests.conftest import ROOT
from tests.planner.measured import DTYPES, ENVIRONMENTS, release

# scalars, pieces of padding, and step counters
SMALL = 400


@cache
def rows(env: str) -> tuple[dict[str, Any], ...]:
    path = ROOT / "tests" / "recorded" / "planner" / f"stepping-{env}.jsonl"
    return tuple(json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())


def layout(row: dict[str, Any]) -> Layout:
    case = row["case"]
    return Layout(
        stage=case["stage"],
        ranks=case["world"],
        trainable=tuple(size for size, _ in row["sizes"]),
        dtype=DTYPES[case["dtype"]],
        bucket=1000,
        persistence=0,
        sub_group=case["zero"].get("sub_group_size", 10**9),
        deepspeed=release(row),
    )


CASES = [pytest.param(row, id=f"{env}-{row['id']}") for env in ENVIRONMENTS for row in rows(env)]


@pytest.mark.parametrize("row", CASES)
def test_a_step_allocates_what_was_counted(row: dict[str, Any]) -> None:
    wanted = layout(row)
    said = max(stepping.norm(wanted), stepping.upcast(wanted))
    if row["case"]["optimizer"] == "foreach":
        masters = states.held(wanted)[states.STEPPING].get("master_gradients", {})
        # gradients that are fp32 at all times were there before the step
        made = 0 if wanted.kept_in_full else states.size({"master_gradients": masters})
        if wanted.dtype == "float32" and not wanted.unsharded:
            made = stepping.upcast(wanted)
        said = max(said, made + stepping.roots(wanted))
    assert abs(row["bytes"] - said) < SMALL, (row["bytes"], said)


def test_every_case_was_counted_in_every_release() -> None:
    assert all(len(rows(env)) == 26 for env in ENVIRONMENTS)
    assert not any("error" in row for env in ENVIRONMENTS for row in rows(env))


def test_a_step_of_stages_1_and_2_holds_20_bytes_of_a_part_and_not_16() -> None:
    spread = Layout(2, 8, (1_000_000,) * 40)
    for foreach in (True, False):
        assert stepping.peak(spread, foreach) / 40e6 == 2 + 20 / 8


def test_stage_3_pays_for_one_sub_group() -> None:
    spread = Layout(3, 8, (1_000_000,) * 40, bucket=0, sub_group=1_000_000)
    group = stepping.part(spread)
    assert stepping.peak(spread, foreach=True) == 16 * 5_000_000 + 8 * group
    assert stepping.peak(spread, foreach=False) == 16 * 5_000_000 + 6 * group
