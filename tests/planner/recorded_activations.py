"""The recorded activations, as the planner's inputs."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from dsbridge.planner import Freeze, Lora, ModelShape, model_shape
from dsbridge.planner.activations import Kept, Method, kept, transformers_release
from dsbridge.planner.flow import SHARES_HEADS, Setting
from dsbridge.planner.liger import NOTHING, replaced
from dsbridge.planner.modules import CONV1D, LINEAR
from dsbridge.planner.per_token import REPLACES_LINEAR
from dsbridge.planner.styles import style
from dsbridge.rules import numbers
from tests.conftest import ROOT

ENVIRONMENTS = ("hf", "hf-old")
LIGER = "liger"  # conformance/planner/liger.py
BATCH, SEQUENCE = 2, 32  # conformance/planner/activations.py
TOKENS = BATCH * SEQUENCE


@cache
def rows() -> tuple[dict[str, Any], ...]:
    """Every line of every environment."""
    folder = ROOT / "tests" / "recorded" / "planner" / "activations"
    texts = [(folder / f"{env}.jsonl").read_text(encoding="utf-8") for env in (*ENVIRONMENTS, LIGER)]
    return tuple(json.loads(line) for text in texts for line in text.splitlines())


@cache
def shape(index: int) -> ModelShape:
    """The model of a line."""
    row = rows()[index]
    return model_shape(row["config"], transformers=row["versions"]["transformers"])


def method(case: dict[str, Any], model: ModelShape) -> Method:
    """How a case trains. `frozen` has no weight that trains: the layers below the last of a freeze run so."""
    way = case["method"]
    if way == "full":
        return None
    if way in ("frozen", "last-layer"):
        return Freeze(layers=1)
    linear = {
        module.name.rpartition(".")[2]
        for block in model.blocks
        for module in block.modules
        if module.kind in (LINEAR, CONV1D) and "expert" not in module.name and module.part != "router"
    }
    some = {"q_proj", "v_proj", "c_attn"}
    return Lora(rank=4, targets=tuple(sorted(linear & some if "some" in way else linear)))


def setting(index: int) -> Setting:
    """How a case runs."""
    case, model = rows()[index]["case"], shape(index)
    told = numbers(rows()[index]["versions"]["deepspeed"])
    release = transformers_release(model)
    return Setting(
        itemsize=4 if case.get("float32") else 2,
        adapter=4 if "fp32" in case["method"] and "engine" not in case else 2,
        flash=case.get("attention") != "eager",
        ulysses=case.get("ulysses", 1),
        masked=bool(case.get("masked") or (style(model.model_type).masks and release < SHARES_HEADS)),
        wrapped=case.get("engine") == 3 and ("init" in case or told >= REPLACES_LINEAR),
        sequence=SEQUENCE,
        release=release,
        # a CPU keeps a mask of the type of what is dropped
        mask=2 if case.get("dropout") else 0,
        # 0.8.0 leaves the norms of queries and keys of a model that is there already
        kernels=replaced(model.model_type)._replace(of_heads=False) if case.get("liger") else NOTHING,
    )


def said(index: int) -> Kept:
    """What the planner says of a line."""
    case, model = rows()[index]["case"], shape(index)
    inputs = case["method"] == "frozen" or bool(case.get("checkpointing"))
    way, tp = method(case, model), case.get("tp", 1)
    return kept(model, way, "", setting(index), tp, input_grads=inputs)
