"""The batch that `explain` tells is the one that real ranks trained (`conformance/batches.py`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dsbridge.prediction import predict
from dsbridge.reading import Files

FOLDER = Path(__file__).parent / "recorded" / "batches"
ROWS = [json.loads(line) for path in sorted(FOLDER.glob("*.jsonl")) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['env']}/{row['id']}")
def test_the_batch_is_what_real_ranks_trained(row: dict[str, Any], tmp_path: Path) -> None:
    for name, text in row["files"].items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    words = (*(f"{name}={value}" for name, value in row["environ"].items()), *row["command"])
    found = predict((), words, "", {}, row["versions"], files=Files(tmp_path))
    batch = found.batch
    assert {batch["global"]} == set(row["trained"])
    assert batch["reported_by_deepspeed"] == row["reported"]
    assert batch["data_parallel"] * batch["micro_per_gpu"] * batch["accumulation"] == batch["global"]


def test_every_way_of_sharing_samples_is_recorded() -> None:
    trained = {row["id"]: (row["trained"][0], row["reported"]) for row in ROWS}
    assert trained["accelerate/sequence-of-four"] == (8, 8)
    assert trained["accelerate/tensor-of-four"] == (8, 16)
    assert trained["deepspeed/sequence-of-four"] == (16, 8)
