"""micro x accumulation x data-parallel ranks = global."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsbridge.diagnostics import InputError
from dsbridge.spec.batch import BatchNumbers, batch_numbers, dims
from dsbridge.spec.load import load_mapping

small = st.integers(1, 6)


@given(nodes=small, gpus=small, tp=small, ulysses=small, micro=small, accumulation=small)
def test_any_two_give_the_third(
    nodes: int, gpus: int, tp: int, ulysses: int, micro: int, accumulation: int
) -> None:
    layout = {
        "cluster": {"nodes": nodes, "gpus_per_node": gpus * tp * ulysses},
        "parallelism": {"tp": tp, "ulysses": ulysses},
    }
    ranks = nodes * gpus
    whole = {"micro_per_gpu": micro, "accumulation": accumulation, "global": micro * accumulation * ranks}
    expected = BatchNumbers(micro, accumulation, whole["global"])
    for left_out in (None, *whole):
        batch = {k: v for k, v in whole.items() if k != left_out}
        assert batch_numbers(load_mapping({**layout, "batch": batch}).spec) == expected
    with pytest.raises(InputError, match=f"= {whole['global']}, but batch.global is {whole['global'] + 1}"):
        load_mapping({**layout, "batch": {**whole, "global": whole["global"] + 1}})


def test_without_the_number_of_gpus_nothing_is_derived() -> None:
    spec = load_mapping({"batch": {"micro_per_gpu": 4, "accumulation": 2}}).spec
    assert dims(spec).world_size is None
    assert batch_numbers(spec) == BatchNumbers(4, 2, None)


def test_auto_is_no_number() -> None:
    spec = load_mapping(
        {"cluster": {"gpus_per_node": 8}, "batch": {"micro_per_gpu": "auto", "global": 64}}
    ).spec
    assert batch_numbers(spec) == BatchNumbers(None, None, 64)


@pytest.mark.parametrize(
    ("batch", "said"),
    [
        ({"micro_per_gpu": 4, "accumulation": 4, "global": 128}, "Write `batch.global: 64`"),
        ({"micro_per_gpu": 4, "global": 70}, "Write `batch.global: 64 or 80`"),
        ({"accumulation": 2, "global": 5}, "Write `batch.global: 8`"),
    ],
)
def test_the_hint_names_numbers_that_work(batch: dict[str, int], said: str) -> None:
    layout = {"cluster": {"gpus_per_node": 8}, "parallelism": {"tp": 2}}
    with pytest.raises(InputError, match=said.replace("(", r"\(")) as error:
        load_mapping({**layout, "batch": batch})
    hint = error.value.diagnostics[0].hint
    for word in hint.split("`")[1].removeprefix("batch.global: ").split(" or "):
        load_mapping({**layout, "batch": {**batch, "global": int(word)}})
