"""RLOO as it has been since TRL 0.22: on the Trainer, with GRPO's batch of whole groups."""

from __future__ import annotations

from conformance.oracle.case import Case
from conformance.oracle.cases.trl import LR, TOKENIZER, plain

REAL = ("trl/rloo/z2",)


def designed() -> list[Case]:
    """Only the newest environment has it."""
    kind, call = "RLOO", f"reward_funcs=reward, {TOKENIZER}"
    return [
        plain("rloo/z2", kind, {}, LR, call=call),
        plain("rloo/groups-of-3", kind, {"num_generations": 3}, call=call),
        plain("rloo/one-generation", kind, {"num_generations": 1}, call=call),
    ]
