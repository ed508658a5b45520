"""Bytes that a loss makes of logits, as counted: of a token and an entry of the vocabulary."""

from __future__ import annotations

import json

import pytest

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
