"""What is asked of each framework: one module a framework, all with the same two names.

`designed() -> list[Case]`: every factor alone, and pairs of factors (`pairs`), with readable ids.
`setups() -> SearchStrategy[Case]`: hypothesis, whole set-ups as users have them, valid and broken.
Ids start with the framework's name and a slash. Runs in the development environment: no framework needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

FRAMEWORKS = ("deepspeed", "accelerate", "trainer", "llamafactory", "xtuner")
# What stands on a framework, and has cases of its own.
BESIDE = ("trl", "trl_rloo")
# The environments whose versions a framework is recorded in.
ENVIRONMENTS = {
    "deepspeed": ("hf", "hf-old", "llamafactory", "xtuner"),
    "accelerate": ("hf", "hf-old"),
    "trainer": ("hf", "hf-old"),
    "llamafactory": ("llamafactory", "llamafactory-old"),
    "xtuner": ("xtuner",),
    "trl": ("trl", "trl-old"),
    "trl_rloo": ("trl",),
}


def cases_of(framework: str) -> Any:
    """The module of a framework's cases."""
    return import_module(f"conformance.oracle.cases.{framework}")


def pairs(factors: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """A covering array: every value of every factor meets every value of every other one."""
    from allpairspy import AllPairs  # type: ignore[import-not-found]

    names = list(factors)
    return [dict(zip(names, row, strict=True)) for row in AllPairs([list(factors[n]) for n in names])]
