"""Raw Accelerate: `accelerate launch` with a YAML or flags, or a script with its own DeepSpeedPlugin."""

from __future__ import annotations

from typing import Any

from conformance.oracle.case import Case
from conformance.oracle.cases import _accelerate_scripts as scripts
from conformance.oracle.cases import _accelerate_yaml as launch
from conformance.oracle.cases import pairs
from conformance.oracle.cases._accelerate_setups import FACTORS, paired

# Run again with two real processes, to see that the one process of the oracle tells the truth.
REAL: tuple[str, ...] = (
    "accelerate/yaml/plain",
    "accelerate/yaml/stage-3-init",
    "accelerate/yaml/steps-4",
    "accelerate/file/auto",
    "accelerate/ds/as-is",
    "accelerate/ds/total-wrong",
    "accelerate/ds/offload",
    "accelerate/dummy/decay",
    "accelerate/optimizer/lambda-none",
    "accelerate/loader/two",
    "accelerate/model/3-batch",
    "accelerate/plugin/stage-3",
)


def designed() -> list[Case]:
    """Every factor alone, then pairs."""
    return [
        *launch.settings(),
        *launch.top(),
        *launch.filed(),
        *launch.flags(),
        *launch.environment(),
        *launch.templates(),
        *scripts.fields(),
        *scripts.texts(),
        *scripts.plugins(),
        *scripts.loaders(),
        *scripts.optimizers(),
        *scripts.models(),
        *scripts.unreadable(),
        *scripts.ulysses(),
        *scripts.module(),
        *(paired(number, row) for number, row in enumerate(pairs(FACTORS))),
    ]


def setups() -> Any:
    """Whole set-ups as users have them."""
    from conformance.oracle.cases._accelerate_setups import setups as strategy

    return strategy()
