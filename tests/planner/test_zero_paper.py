"""The ZeRO paper's table 1 and figure 1: every cell, to the digits that are printed."""

from __future__ import annotations

from decimal import Decimal

import pytest

from dsbridge.planner import zero_paper

MODELS = (7_500_000_000, 128_000_000_000, 1_000_000_000_000)
# devices: of each model P_os, P_os+g, P_os+g+p in GB, as printed
TABLE_1 = {
    1: "120 120 120 2048 2048 2048 16000 16000 16000",
    4: "52.5 41.3 30 896 704 512 7000 5500 4000",
    16: "35.6 21.6 7.5 608 368 128 4750 2875 1000",
    64: "31.4 16.6 1.88 536 284 32 4187 2218 250",
    256: "30.4 15.4 0.47 518 263 8 4046 2054 62.5",
    1024: "30.1 15.1 0.12 513 257 2 4011 2013 15.6",
}
# Cells that are cut off behind their last digit, not rounded, as (devices, model, stage): they stand for
# 4187.5, 2218.75, 4046.875, 2054.6875, 4011.71875 and 2013.671875 GB of the third model, 513.5 and 257.75 of
# the second.
CUT = {
    *((devices, 2, stage) for devices in (64, 256, 1024) for stage in (1, 2)),
    *((1024, 1, stage) for stage in (1, 2)),
}
CELLS = [
    pytest.param(devices, model, stage, row.split()[3 * model + stage - 1], id=f"{devices}-{model}-{stage}")
    for devices, row in TABLE_1.items()
    for model in range(3)
    for stage in (1, 2, 3)
]


@pytest.mark.parametrize(("devices", "model", "stage", "cell"), CELLS)
def test_a_cell_of_table_1(devices: int, model: int, stage: int, cell: str) -> None:
    size = zero_paper.states(MODELS[model], devices, stage)
    cut = (devices, model, stage) in CUT
    assert zero_paper.printed(size, cell, cut) == cell
    # a cell is listed as cut only where rounding would print another
    assert (zero_paper.printed(size, cell) != cell) == cut


def test_figure_1() -> None:
    found = [zero_paper.states(7_500_000_000, 64, stage) for stage in range(4)]
    assert [zero_paper.printed(size, "1.0") for size in found] == ["120.0", "31.4", "16.6", "1.9"]


# table 2: model parallelism, and the largest model in billions on 32 GB without ZeRO, at stages 1, 2 and 3
TABLE_2 = {
    1: "2 7.6 14.4 128",
    2: "4 15.2 28.8 256",
    4: "8 30.4 57.6 512",
    8: "16 60.8 115.2 1024",
    16: "32 121.6 230.4 2048",
}


@pytest.mark.parametrize("parallel", list(TABLE_2))
def test_the_largest_models_of_table_2(parallel: int) -> None:
    # 64 devices for each part; the paper multiplies what it has rounded, and calls 512 half a trillion
    for stage, cell in enumerate(TABLE_2[parallel].split()):
        each = Decimal(32) / (zero_paper.states(10**9, 64, stage) / 10**9)
        assert parallel * round(each, 1) == Decimal(cell)


def test_the_table_of_xtuners_guide() -> None:
    # 7B on 8 GPUs, docs/en/acceleration/deepspeed.rst of v0.1.23
    found = [zero_paper.states(7_000_000_000, 8, stage) / 10**9 for stage in (1, 2, 3)]
    assert found == [Decimal("38.5"), Decimal("26.25"), 14]


@pytest.mark.parametrize("devices", [1, 2, 64])
def test_the_formulas_of_adam(devices: int) -> None:
    x = 1_000_000 * devices
    assert [zero_paper.states(x, devices, stage) for stage in range(4)] == [
        16 * x,
        4 * x + 12 * x / devices,
        2 * x + 14 * x / devices,
        16 * x / devices,
    ]


def test_another_optimizer() -> None:
    # SGD with momentum and fp32 weights: K = 8
    assert zero_paper.states(10, 1, 0, optimizer=8) == Decimal(120)


def test_the_paper_counts_half_as_much_again_for_stage_3() -> None:
    assert Decimal(zero_paper.COMMUNICATION[3]) / zero_paper.COMMUNICATION[1] == Decimal("1.5")
