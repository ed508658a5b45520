"""LLaMA-Factory: a training YAML, the ds_config it names, and its launcher."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from conformance.oracle.case import Case
from conformance.oracle.cases import _llamafactory_ds as ds
from conformance.oracle.cases import _llamafactory_launch as launch
from conformance.oracle.cases import _llamafactory_settings as settings
from conformance.oracle.cases import _llamafactory_v1 as v1
from conformance.oracle.cases import pairs
from conformance.oracle.cases._llamafactory_files import AUTO, BASE, GONE, SHIPPED, absent, case, changed
from conformance.oracle.cases._llamafactory_pairs import FACTORS, paired
from conformance.oracle.cases._llamafactory_stages import stages

TABLES: dict[str, dict[str, Any]] = {
    "number": settings.NUMBERS,
    "precision": settings.PRECISION,
    "method": settings.METHODS,
    "data": settings.DATA,
    "key": settings.KEYS,
    "batch": ds.BATCH,
    "optimizer": ds.OPTIMIZERS,
    "scheduler": ds.SCHEDULERS,
    "zero": ds.ZERO,
    "rest": ds.REST,
}
# Numbers of training steps that no file says: they follow from the rows that are left after tokenizing.
STEPS = {name: {"num_training_steps": 3} for name in ("scheduler/epochs", "scheduler/epochs-steps-given")}
# Run again with two real processes, to see that the one process of the oracle tells the truth.
REAL: tuple[str, ...] = (
    "llamafactory/shipped/z2-bf16",
    "llamafactory/shipped/z3-bf16",
    "llamafactory/shipped/z3_offload-none",
    "llamafactory/shipped/z2_autotp-bf16",
    "llamafactory/start/torchrun",
    "llamafactory/method/lora",
    "llamafactory/method/lora-plus",
    "llamafactory/batch/all-wrong",
    "llamafactory/batch/accumulation-wrong-stage-3",
    "llamafactory/number/scheduler",
    "llamafactory/zero/unknown-key-stage-3",
    "llamafactory/scheduler/epochs",
    "llamafactory/v1-shipped/z2",
    "llamafactory/v1-shipped/z3_offload",
    "llamafactory/v1-ds/steps-missing",
    "llamafactory/v1-ds/total-right-3",
    "llamafactory/v1-ds/bf16-false",
    "llamafactory/v1-ds/fp16-true-3",
    "llamafactory/v1-ds/optimizer",
    "llamafactory/v1-yaml/lora-3",
    "llamafactory/v1-yaml/freeze-3",
    "llamafactory/v1-yaml/global-uneven",
    "llamafactory/v1-start/rm",
)


def designed() -> list[Case]:
    """Every factor alone, then pairs."""
    return [
        *shipped(),
        *launch.started(),
        *launch.accelerated(),
        *launch.flagged(),
        *launch.overridden(),
        *launch.written(),
        *alone(),
        *abilities(),
        *stages(),
        *(paired(number, row) for number, row in enumerate(pairs(FACTORS))),
        *v1.designed(),
    ]


def shipped() -> Iterator[Case]:
    """LLaMA-Factory's own examples/deepspeed, on GPUs with and without bf16."""
    for name, text in SHIPPED.items():
        for precision in ("bf16", "none", "fp16"):
            changes = {} if precision == "bf16" else {"bf16": GONE}
            if precision == "fp16":
                changes["fp16"] = True
            path = f"examples/deepspeed/ds_{name}_config.json"
            own = changed(BASE, {**changes, "deepspeed": path})
            files = {path: text, "ds.json": GONE}
            for kind, gpu in (("", True), ("-old-gpu", False)):
                if precision != "fp16" or not gpu:
                    yield case(
                        f"shipped/{name}-{precision}{kind}",
                        own,
                        files=files,
                        gpu={"bf16": gpu, "fp16": True},
                    )


def alone() -> Iterator[Case]:
    """One change each."""
    for group, table in TABLES.items():
        for name, (own, config, *start) in table.items():
            base = json.loads(SHIPPED[start[0]]) if start else AUTO
            facts = {**absent(own), **STEPS.get(f"{group}/{name}", {})}
            yield case(f"{group}/{name}", changed(BASE, own), changed(base, config), facts=facts)


def abilities() -> Iterator[Case]:
    """GPUs that lack a number format."""
    no_bf16, no_fp16 = {"bf16": False, "fp16": True}, {"bf16": True, "fp16": False}
    fp16 = changed(BASE, {"bf16": GONE, "fp16": True})
    pure = changed(BASE, {"bf16": GONE, "pure_bf16": True})
    yield case("gpu/no-bf16", gpu=no_bf16)
    yield case("gpu/no-bf16-in-file", changed(BASE, {"bf16": GONE}), changed(AUTO, {"bf16.enabled": True}),
               gpu=no_bf16)  # fmt: skip
    yield case("gpu/no-bf16-pure", pure, gpu=no_bf16)
    yield case("gpu/no-bf16-pure-stage-3", pure, launch.Z3, gpu=no_bf16)
    yield case("gpu/no-bf16-evaluated", changed(fp16, {"bf16_full_eval": True}), gpu=no_bf16)
    yield case("gpu/no-bf16-unknown-key", changed(BASE, {"zero_stage": 2}), gpu=no_bf16)
    yield case("gpu/no-bf16-and-both", changed(BASE, {"fp16": True}), gpu=no_bf16)
    yield case("gpu/no-fp16", fp16, gpu=no_fp16)


def setups() -> Any:
    """Whole set-ups as users have them."""
    from conformance.oracle.cases._llamafactory_setups import setups as strategy

    return strategy()
