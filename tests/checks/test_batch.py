from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from dsbridge.subjects.batch import Batch, usual
from tests.checks.told import says, told

SIZE = st.integers(1, 64)
TRAIN = "train.py --output_dir o --deepspeed ds.json --per_device_train_batch_size 2"


def _ds(total: object, micro: object = None, steps: object = None, **more: object) -> dict[str, str]:
    names = ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps")
    sizes = {name: size for name, size in zip(names, (total, micro, steps), strict=True) if size is not None}
    return {"ds.json": json.dumps({"zero_optimization": {"stage": 2}, **sizes, **more})}


@given(SIZE, SIZE, SIZE, SIZE)
def test_what_is_said_to_fit_fits(total: int, micro: int, steps: int, ranks: int) -> None:
    for batch in (Batch(total, micro, steps), Batch(total, micro, None), Batch(total, None, steps)):
        for count in batch.worlds():
            share = (batch.micro or 1) * (batch.steps or 1) * count
            assert total % share == 0
            assert batch.fits(count)
        assert batch.fits(ranks) == (ranks in batch.worlds())


@given(SIZE, SIZE, SIZE, SIZE)
def test_each_repair_multiplies(total: int, micro: int, steps: int, ranks: int) -> None:
    short = {"gradient_accumulation_steps": "steps", "train_micro_batch_size_per_gpu": "micro"}
    for repair in Batch(total, micro, steps, ranks).repairs():
        sizes = {"total": total, "micro": micro, "steps": steps, "ranks": ranks}
        for part in repair.split(" and "):
            name, _, value = part.partition(" ")
            if value == "ranks":
                name, value = "ranks", name
            sizes[short.get(name, name.replace("train_batch_size", "total"))] = int(value)
        assert sizes["total"] == sizes["micro"] * sizes["steps"] * sizes["ranks"], repair


def test_the_nearest_valid_numbers() -> None:
    text = says("CK400", _ds(256, 2, 18), facts={"world_size": 7})
    assert "256 is not 2 x 18 x 7 ranks" in text
    assert "train_batch_size 252" in text
    text = says("CK400", _ds(256, 2, 18), facts={"world_size": 8})
    assert "gradient_accumulation_steps 16; or train_batch_size 288" in text


def test_no_number_of_ranks_fits() -> None:
    text = says("CK400", _ds(32, 2, 3))
    assert text.startswith("error:")
    assert "no number of ranks fits" in text
    assert "30 or 36" in text


def test_one_process_is_named() -> None:
    files = _ds(16, 2, 1)
    text = says("CK400", files, f"python {TRAIN}")
    assert "plain `python` starts one process" in text
    assert "torchrun --nproc_per_node 8" in text
    assert not told("CK400", files, f"torchrun --nproc_per_node 8 {TRAIN}")


def test_a_rule_that_stops_is_told_once() -> None:
    files = _ds(16, 2, 1)
    command = f"torchrun --nproc_per_node 4 {TRAIN}"
    assert told("CK400", files, command)
    assert not [d for d in told("EX005", files, command) if "DS158" in d.message]


def test_what_is_left_to_others_is_no_finding() -> None:
    assert not told("CK400", _ds("auto", "auto", "auto"), facts={"world_size": 8})
    assert not told("CK400", _ds(None, 2, 3), facts={"world_size": 8})
    elastic = {"enabled": True, "max_train_batch_size": 2000, "micro_batch_sizes": [2, 4, 6]}
    assert not told("CK400", _ds(7, 2, 2, elasticity=elastic))
    assert not told("CK401", _ds(7, 2, 2, elasticity=elastic))


def test_the_ranks_that_a_pinned_batch_leaves() -> None:
    assert says("CK401", _ds(24)).startswith("info: train_batch_size 24 works evenly only with 1, 2, 3, 4, 6")
    assert "works only with 8 ranks" in says("CK401", _ds(48, 2, 3))
    odd = says("CK401", _ds(66, 2, 3))
    assert odd.startswith("warning: train_batch_size 66 works only with 11 ranks")
    assert not told("CK401", _ds(48, 2, 3), facts={"world_size": 8})


def test_usual_numbers() -> None:
    assert [count for count in range(1, 20) if usual(count)] == [*range(1, 9), 12, 16]
