"""What PEFT and LLaMA-Factory train, and what bitsandbytes holds: recorded by `conformance.shapes`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dsbridge.planner import Freeze, Lora, ShapeError, model_shape, quantised, trained
from tests.batches import batches
from tests.batches import case as named
from tests.conftest import ROOT

RECORDED = ROOT / "tests" / "recorded" / "planner"


def cases(*names: str) -> list[Any]:
    found = []
    for name in names:
        recorded = json.loads((RECORDED / f"{name}.json").read_text())
        for case in recorded["cases"]:
            told = case.get("lora") or case.get("freeze") or case.get("scheme")
            found.append((f"{name}: {case['model']} {told}", (recorded["versions"], case)))
    return found


def method(case: dict[str, Any], peft: str) -> Lora | Freeze:
    if "freeze" in case:
        asked = case["freeze"]
        return Freeze(asked["layers"], tuple(asked["modules"]), tuple(asked["extra"]))
    asked = {k: tuple(v) if isinstance(v, list) else v for k, v in case["lora"].items()}
    return Lora(**asked, peft=peft)


@pytest.mark.parametrize("several", batches(cases("tuning-hf", "tuning-hf-old", "tuning-llamafactory")))
def test_what_is_trained(several: list[tuple[str, Any]]) -> None:
    for name, one in several:
        with named(name):
            trains(*one)


def trains(versions: dict[str, str], case: dict[str, Any]) -> None:
    shape = model_shape(case["config"], versions["transformers"])
    if "refused" in case:
        with pytest.raises(ShapeError):
            trained(shape, method(case, versions["peft"]))
    else:
        found = trained(shape, method(case, versions["peft"]))
        assert (found.trainable, found.held) == (case["trainable"], case["held"])


@pytest.mark.parametrize("several", batches(cases("quantised-llamafactory")))
def test_what_a_quantised_model_holds(several: list[tuple[str, Any]]) -> None:
    for name, (versions, case) in several:
        found = quantised(model_shape(case["config"], versions["transformers"]), case["scheme"])
        wanted = (case["weights"], case["scales"], case["kept"])
        assert (found.weights, found.scales, found.kept) == wanted, name
