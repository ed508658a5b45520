"""XTuner's layer: its moments, rules and tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dsbridge.rulebook import Layer, OverrideRule, Versions
from dsbridge_xtuner.moments import MOMENTS
from dsbridge_xtuner.rules import RULES

# mmengine 0.10.6 optim/optimizer/builder.py registers these; the class as DeepSpeed names it.
_TORCH = (
    "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "ASGD", "LBFGS", "NAdam", "RAdam", "RMSprop", "Rprop",
    "SGD", "SparseAdam",
)  # fmt: skip
_DEEPSPEED = ("DeepSpeedCPUAdam", "FusedAdam", "FusedLamb", "OnebitAdam", "OnebitLamb", "ZeroOneAdam")


def optimizers(versions: Versions) -> dict[str, Any]:
    """Optimizers that a config may name in quotes."""
    found = {name: f"torch.{name}" for name in _TORCH}
    return found | {name: f"deepspeed.{name}" for name in _DEEPSPEED}


def _placed() -> tuple[OverrideRule, ...]:
    """The rules with the lines of their quotes, which tools/harvest_xtuner_training.py finds."""
    text = (Path(__file__).parent / "rules" / "lines.json").read_text(encoding="utf-8")
    lines: dict[str, str] = json.loads(text)
    return tuple(
        rule._replace(
            evidence=tuple(proof._replace(lines=lines.get(rule.code, "1")) for proof in rule.evidence)
        )
        for rule in RULES
    )


def takes(versions: Versions) -> dict[str, list[str]]:
    """The arguments of torch's optimizers, by class."""
    from dsbridge_xtuner.training import torch_optimizers

    return torch_optimizers()


LAYER = Layer(
    "xtuner",
    MOMENTS,
    _placed(),
    tables={"xtuner.optimizers": optimizers, "xtuner.takes": takes},
    verified={"xtuner": ("0.2.0",), "mmengine": ("0.10.6",)},
)
