"""Every weight that the real transformers builds, by name and shape: `conformance.shapes` recorded them."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from typing import Any

import pytest

from conformance.shapes.cases import TINY
from dsbridge.planner import ModelShape, catalogue, model_shape
from dsbridge.planner.architecture import known
from tests.batches import batches, case
from tests.conftest import ROOT

ENVIRONMENTS = ("hf", "hf-old", "llamafactory")


@cache
def recorded(env: str) -> Any:
    return json.loads((ROOT / "tests" / "recorded" / "planner" / f"shapes-{env}.json").read_text())


CASES = [
    (f"{env}: {name}", (env, name))
    for env in ENVIRONMENTS
    for name, case in recorded(env)["cases"].items()
    if "cannot_be_built" not in case
]


def weights(shape: ModelShape) -> Counter[tuple[str, tuple[int, ...], str]]:
    """What we think a model holds, written as the recordings write it."""
    found: Counter[tuple[str, tuple[int, ...], str]] = Counter()
    held = [("", module, 1) for module in shape.outside]
    held += [(f"{shape.prefix}.*.", m, len(block.layers)) for block in shape.blocks for m in block.modules]
    for prefix, module, times in held:
        kind = module.kind if module.kind in ("linear", "conv1d", "embedding") else "other"
        for name, size in module.weights:
            if name != module.tied:
                found[f"{prefix}{module.name.replace('{}', '*')}.{name}", size, kind] += module.copies * times
    return found


@pytest.mark.parametrize("several", batches(CASES))
def test_every_weight_and_every_total(several: list[tuple[str, tuple[str, str]]]) -> None:
    for name, one in several:
        with case(name):
            count(*one)


def count(env: str, name: str) -> None:
    row = recorded(env)["cases"][name]
    shape = model_shape(row["config"], transformers=recorded(env)["transformers"])
    real = {(name, tuple(size), kind): count for name, size, kind, count in row["weights"]}
    assert weights(shape) == real
    assert shape.total == sum(shape.parts.values()) == row["total"]
    assert shape.largest_module[1] == row["largest_module"][1]
    assert shape.largest_layer == row["largest_layer"]


def test_all_that_we_count_was_recorded() -> None:
    newest = recorded("hf")["cases"]
    assert set(newest) == {*TINY, *(entry.name for entry in catalogue())}
    assert {case["config"]["model_type"] for name, case in newest.items() if name in TINY} == set(known())
    assert len(known()) >= 20
    assert not [name for name, case in newest.items() if "cannot_be_built" in case]


def test_a_wrong_size_would_be_seen() -> None:
    case = recorded("hf")["cases"]["llama"]
    shape = model_shape({**case["config"], "intermediate_size": 161})
    assert shape.total != case["total"]


def test_the_fused_experts_of_transformers_5_are_one_module() -> None:
    new, old = (model_shape("mistralai/Mixtral-8x7B-v0.1", version) for version in ("5.23.0", "4.51.3"))
    assert new.largest_module == ("mlp.experts", 1_409_286_144)
    assert old.largest_module == ("model.embed_tokens", 131_072_000)
    assert new.total == old.total == 46_702_792_704
