"""PEFT 0.21 under transformers 5: targets of a mixture of experts, rewritten for fused experts.

What was a linear map in transformers 4 (each expert, the router) is a parameter in 5. PEFT 0.21.2
(utils/transformers_weight_conversion.py: _convert_peft_config_moe) turns such names into
`target_parameters`, doubles
the rank where two names are one parameter now, and takes the names away from modules: dense layers and
shared experts that are called the same get no adapter. PEFT 0.18.1 does nothing of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from dsbridge.planner.errors import ShapeError
from dsbridge.rules import numbers

SINCE = "0.19.0"  # 0.18.1 does not, 0.21.2 does
_QWEN = {
    "gate": "gate.weight",
    "gate_proj": "gate_up_proj",
    "up_proj": "gate_up_proj",
    "down_proj": "down_proj",
}
_MIXTRAL = {"gate": "gate.weight", "w1": "gate_up_proj", "w3": "gate_up_proj", "w2": "down_proj"}
_FUSED = "gate_up_proj"
# of `_MODEL_TO_CONVERSION_PATTERN`, those that the table of architectures has
_AS_QWEN = (
    "deepseek_v2",
    "deepseek_v3",
    "deepseek_v32",
    "dots1",
    "ernie4_5_moe",
    "glm4_moe",
    "glm4_moe_lite",
    "olmoe",
)
FAMILIES: Mapping[str, Mapping[str, str]] = {
    "mixtral": _MIXTRAL,
    "minimax_m2": _MIXTRAL,
    **dict.fromkeys((*_AS_QWEN, "qwen3_moe", "qwen3_next"), _QWEN),
}


class Targets(NamedTuple):
    """Names of modules, and of parameters with how many times the rank each gets."""

    modules: tuple[str, ...]
    parameters: Mapping[str, int]


def rewrites(model_type: str, transformers: str, peft: str) -> bool:
    """Whether PEFT rewrites the targets of this model."""
    return model_type in FAMILIES and numbers(transformers) >= (5,) and numbers(peft) >= numbers(SINCE)


def rewritten(model_type: str, targets: Iterable[str]) -> Targets:
    """The targets that PEFT works with, from names that may be those of transformers 4."""
    mapping, modules, found = FAMILIES[model_type], [], set()
    for target in targets:
        old = next((old for old in mapping if target == old or target.endswith(f".{old}")), None)
        if old is None:
            modules.append(target)
        else:
            found.add(old)
    halves = {old for old, new in mapping.items() if new == _FUSED}
    if 0 < len(found & halves) < len(halves):
        missing = ", ".join(sorted(halves - found))
        raise ShapeError(
            f"PEFT refuses {', '.join(sorted(found & halves))} without {missing}: they are one parameter now",
            f"name {missing} too",
        )
    return Targets(tuple(modules), {mapping[old]: 2 if mapping[old] == _FUSED else 1 for old in found})


def leaves(model_type: str, pattern: str, names: Iterable[str]) -> set[str]:
    """The last words of what a regular expression matches, as PEFT takes them: for every layer alike."""
    every = list(names)
    matched = {name.rpartition(".")[2] for name in every if re.fullmatch(pattern, name)}
    for old, new in FAMILIES[model_type].items():
        holders = (name.removesuffix(f".{new}") for name in every if name.endswith(f".{new}"))
        if any(re.fullmatch(pattern, f"{holder}.{old}") for holder in holders):
            matched.add(old)
    return matched
