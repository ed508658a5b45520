"""LLaMA-Factory's rules, a file a moment."""

from __future__ import annotations

from dsbridge.rulebook import OverrideRule


def all_rules() -> tuple[OverrideRule, ...]:
    """Every rule, in the order of its moment."""
    from dsbridge_llamafactory.rules.arguments import ARGUMENTS, TRAINING, UNUSED
    from dsbridge_llamafactory.rules.methods import PARSER, TASK
    from dsbridge_llamafactory.rules.model import CONFIGURED, DATASET, TEMPLATES
    from dsbridge_llamafactory.rules.optimizing import ENGINE, EVALUATE, OPTIMIZER
    from dsbridge_llamafactory.rules.reading import READING
    from dsbridge_llamafactory.rules.reference import PPO, REFERENCE, SHARDED
    from dsbridge_llamafactory.rules.v1 import V1

    parsed = (*READING, *ARGUMENTS, *TRAINING, *UNUSED, *PARSER, *TASK)
    return (
        *parsed,
        *TEMPLATES,
        *DATASET,
        *CONFIGURED,
        *PPO,
        *OPTIMIZER,
        *REFERENCE,
        *SHARDED,
        *EVALUATE,
        *ENGINE,
        *V1,
    )
