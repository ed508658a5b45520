"""Every key that DeepSpeed is known to read has a class, and every row is about a key that it reads."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from dsbridge.deepspeed.meanings import MEANINGS, NOTHING, RESOURCES, RESULT, UNREAD, meaning_of, place_of
from tests.conftest import ROOT

TABLE = json.loads((ROOT / "dsbridge" / "deepspeed" / "fields.json").read_text())
# read by DeepSpeed, but by code that the harvest does not look at
OTHERS = {
    "amp", "autotuning", "batch.data_parallel", "batch.global", "compression_training", "curriculum_learning",
    "data_efficiency", "data_parallel_size", "elasticity", "expert_parallel", "nebula", "optimizer.class",
    "optimizer.owner", "optimizer.params", "optimizer.params.lr", "optimizer.type", "pipeline",
    "quantize_training", "scheduler", "scheduler.owner", "scheduler.warmup_ratio", "scheduler.warmup_steps",
    "sequence_parallel_size",
    "torch_autocast", "weight_quantization", "optimizer",
}  # fmt: skip


def harvested() -> Iterator[str]:
    for name, block in TABLE["blocks"].items():
        for row in block["fields"]:
            yield f"{name}.{row.get('alias') or row['name']}"
    yield from (place_of(row) for row in TABLE["top_level"])
    yield from (row["name"] for row in TABLE["removed"]["top_level"])
    yield from (f"zero_optimization.{row['name']}" for row in TABLE["removed"]["zero_optimization"])


@pytest.mark.parametrize("path", sorted(set(harvested())))
def test_every_harvested_key_has_a_class(path: str) -> None:
    assert meaning_of(path) is not UNREAD


def test_no_key_of_zero_is_covered_by_accident() -> None:
    """A new key of the largest block needs a row of its own: there is no row for all of it."""
    assert "zero_optimization" not in MEANINGS
    assert meaning_of("zero_optimization.key_of_tomorrow") is UNREAD


def test_every_row_is_about_a_known_key() -> None:
    known = set(harvested()) | OTHERS
    blocks = {path.rpartition(".")[0] for path in known} | {path.partition(".")[0] for path in known}
    assert set(MEANINGS) <= known | blocks


def test_meanings_are_one_sentence_with_its_class() -> None:
    for path, row in MEANINGS.items():
        assert row.kind in (RESULT, RESOURCES, NOTHING), path
        assert str(row).startswith(f"{row.kind}: ")
        assert "\n" not in row.reason
        assert not row.reason.endswith(".")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        pytest.param("gradient_clipping", RESULT, id="clipping-changes-the-steps"),
        pytest.param("optimizer.params.betas", RESULT, id="a-number-of-the-optimizer"),
        pytest.param("zero_optimization.stage", RESOURCES, id="sharding-is-not-arithmetic"),
        pytest.param("zero_optimization.offload_optimizer.pin_memory", RESOURCES, id="by-its-block"),
        pytest.param("wandb.project", NOTHING, id="a-monitor"),
        pytest.param("my_own_key", NOTHING, id="read-by-nobody"),
    ],
)
def test_the_longest_prefix_counts(path: str, kind: str) -> None:
    assert meaning_of(path).kind == kind
