"""Bytes that a loss makes of logits, as counted: of a token and an entry of the vocabulary."""

from __future__ import annotations

import json

import pytest

from dsbridge.planner import liger
from dsbridge.rules import numbers
from tests.conftest import ROOT
from tests.planner.measured import ENVIRONMENTS


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_fp32_takes_12_and_16_bits_take_6_and_2_more_while_logits_are_held(env: str) -> None:
    path = ROOT / "tests" / "recorded" / "planner" / f"losses-{env}.json"
    seen = json.loads(path.read_text(encoding="utf-8"))["bytes"]
    # a shifted loss leaves out the last of 256 tokens
    assert {name: round(size * 2) / 2 for name, size in seen.items()} == {
        "transformers": 12,
        "transformers, logits held": 14,
        "plain": 6,
        "plain, logits held": 8,
        "shifted": 6,
        "shifted, logits held": 8,
        "shifted, autocast": 12,
        "shifted, autocast, logits held": 14,
    }


def test_ligers_loss_takes_what_its_releases_take() -> None:
    """In hidden states. From 0.8.3 on the head's fp32 gradient is made on a CPU, not on GPUs since Ampere."""
    path = ROOT / "tests" / "recorded" / "planner" / "losses-liger.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    sizes = told["tokens"], told["vocab"], told["hidden"]
    states = 2 * told["tokens"] * told["hidden"]
    for release, seen in told["hidden_states"].items():
        how = [one for one in liger.CHUNKS if numbers(one.since) <= numbers(release)][-1]
        for trained in (False, True):
            there = how._replace(beside=6) if how is liger.CHUNKS[-1] else how
            found = liger.loss(*sizes, trained, there) / states
            assert seen["trained" if trained else "frozen"] == pytest.approx(found, rel=0.05), release


def test_engines_in_bf16_undo_what_peft_prepared() -> None:
    """So fp32 of all that is not packed is no part of any moment behind the loading."""
    path = ROOT / "tests" / "recorded" / "planner" / "prepared-llamafactory.json"
    stages = json.loads(path.read_text(encoding="utf-8"))["stages"]
    assert sorted(stages) == ["0", "1", "2", "3"]
    for seen in stages.values():
        for kind in ("adapters", "embedding", "head", "norms"):
            assert (seen["prepared"][kind], seen["engine"][kind]) == ("float32", "bfloat16")
        assert set(seen["hidden"]) == {"bfloat16"}
