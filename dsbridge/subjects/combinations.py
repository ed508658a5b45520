"""Releases that break each other: one row a combination, each boundary read in the packages' own source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from dsbridge.rules import NOTHING, Evidence, numbers

# The packages whose releases matter to each other.
PACKAGES = ("deepspeed", "accelerate", "transformers", "trl", "peft", "llamafactory", "xtuner", "torch",
            "numpy", "pydantic", "mmengine", "bitsandbytes")  # fmt: skip


class Combination(NamedTuple):
    """name: a word for it. since, until: the releases of each package (included, excluded). what: happens.

    condition: when it happens. hint: the releases that go together.
    """

    name: str
    what: str
    condition: str
    hint: str
    evidence: tuple[Evidence, ...]
    since: Mapping[str, str] = NOTHING
    until: Mapping[str, str] = NOTHING

    def holds(self, versions: Mapping[str, str]) -> bool:
        """Whether these versions are such a combination; every package of the row must be known."""
        if any(name not in versions for name in (*self.since, *self.until)):
            return False
        new = all(numbers(versions[name]) >= numbers(first) for name, first in self.since.items())
        return new and all(numbers(versions[name]) < numbers(first) for name, first in self.until.items())

    def shown(self, versions: Mapping[str, str]) -> str:
        """`deepspeed 0.16.0, transformers 4.46.3`."""
        names = dict.fromkeys((*self.since, *self.until))
        return ", ".join(f"{name} {versions[name]}" for name in names)


_ASSERTS = Evidence(
    "deepspeed",
    "0.16.9",
    "runtime/engine.py",
    "2193",
    "no_sync context manager is incompatible with gradient partitioning logic of ZeRO stage",
    "",
)
NO_SYNC = Combination(
    "no-sync",
    "the Trainer accumulates inside DeepSpeed's no_sync, which asserts `no_sync context manager is "
    "incompatible with gradient partitioning logic of ZeRO stage`",
    "gradient accumulation above 1 under ZeRO-2 or 3",
    "Take transformers 4.47.1 or newer, accelerate 1.9.0 or newer, or deepspeed 0.15.4.",
    (_ASSERTS,),
    since={"deepspeed": "0.16.0"},
    until={"transformers": "4.47.1", "accelerate": "1.9.0"},
)
NO_SYNC_LOOP = Combination(
    "no-sync-loop",
    "accelerator.accumulate() enters DeepSpeed's no_sync, which asserts `no_sync context manager is "
    "incompatible with gradient partitioning logic of ZeRO stage`",
    "a loop with accelerator.accumulate, accumulation above 1 and ZeRO-2 or 3",
    "Take accelerate 1.9.0 or newer, or deepspeed 0.15.4.",
    (_ASSERTS,),
    since={"deepspeed": "0.16.0"},
    until={"accelerate": "1.9.0"},
)
BUCKETS = Combination(
    "fractional-buckets",
    "the Trainer fills stage3_prefetch_bucket_size with 0.9 x hidden size squared as a float, and DeepSpeed "
    "refuses a number with a fractional part",
    '"auto" at zero_optimization.stage3_prefetch_bucket_size under ZeRO-3',
    "Take transformers 4.45.0 or newer, or write the number yourself.",
    (
        Evidence(
            "transformers",
            "4.44.2",
            "integrations/deepspeed.py",
            "244",
            "0.9 * hidden_size * hidden_size,",
            "",
        ),
    ),
    since={"deepspeed": "0.15.0"},
    until={"transformers": "4.45.0"},
)
COMBINATIONS = (NO_SYNC, NO_SYNC_LOOP, BUCKETS)
