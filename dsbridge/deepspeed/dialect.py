"""What stands between a rendered config and `deepspeed.initialize`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from dsbridge.diagnostics import Code, Diagnostic, Severity

AUTO_LEFT_OUT = Code(
    "DS001", "auto-left-out", Severity.INFO, '"auto" that nobody fills is not written; the default holds.'
)
NATIVE_CONFLICT = Code(
    "DS002", "native-conflict", Severity.ERROR, "`deepspeed:` says something else than the spec's own key."
)
OPTIMIZER = Code("DS003", "optimizer-block", Severity.ERROR, "DeepSpeed cannot build this optimizer.")
SCHEDULER = Code("DS004", "scheduler-block", Severity.ERROR, "DeepSpeed cannot build this scheduler.")
STAGE_ASSUMED = Code(
    "DS005", "stage-assumed", Severity.INFO, "No ZeRO stage is given; DeepSpeed's default is written."
)
BATCH_COUNT = Code(
    "DS006",
    "batch-counted",
    Severity.INFO,
    "DeepSpeed counts ranks that share samples as if each had its own.",
)
CURVE = Code(
    "DS007", "scheduler-curve", Severity.WARNING, "DeepSpeed's curve differs from the one asked for."
)
IGNORED = Code("DS012", "key-ignored", Severity.WARNING, "The target's DeepSpeed does not read this key.")
VERSION = Code("DS008", "key-not-in-version", Severity.ERROR, "The target's DeepSpeed stops at this key.")
BATCH_NEEDED = Code("DS009", "batch-needed", Severity.ERROR, "DeepSpeed cannot start without a batch size.")
REFUSED = Code("DS013", "value-refused", Severity.ERROR, "DeepSpeed's own parser refuses this value.")
NO_FSDP = Code("DS010", "no-fsdp", Severity.ERROR, "DeepSpeed itself has no FSDP.")
CODES = (
    AUTO_LEFT_OUT,
    NATIVE_CONFLICT,
    OPTIMIZER,
    SCHEDULER,
    STAGE_ASSUMED,
    BATCH_COUNT,
    CURVE,
    VERSION,
    IGNORED,
    BATCH_NEEDED,
    REFUSED,
)


class Dialect(NamedTuple):
    """How a framework treats the DeepSpeed config it is given.

    title: who, in messages.
    takes: DeepSpeed keys that it fills from an argument of its own. They are always written "auto",
        never as a number, so that the value stands in one place; the argument is written elsewhere,
        by the framework's own field table.
    fills: further keys whose "auto" it replaces by a value it computes.
    owner: who builds optimizer and scheduler if the spec does not say.
    versions: the DeepSpeed versions the config may meet, oldest first.
    train_batch_size: write the product too, where no rank shares samples with another.
    needs_batch: nobody else supplies a micro batch size.
    knows_ulysses: DeepSpeed is told the Ulysses groups, and counts the ranks of one as one.
    """

    title: str
    takes: Mapping[str, str] = MappingProxyType({})
    fills: frozenset[str] = frozenset()
    owner: Literal["framework", "deepspeed"] = "framework"
    versions: tuple[str, ...] = ()
    train_batch_size: bool = False
    needs_batch: bool = False
    knows_ulysses: bool = False


class Fragment(NamedTuple):
    """A piece of a config: flat dotted keys, the spec paths it deals with, and what to tell."""

    keys: Mapping[str, Any] = MappingProxyType({})
    claimed: frozenset[str] = frozenset()
    diagnostics: tuple[Diagnostic, ...] = ()


def join(parts: list[Fragment]) -> Fragment:
    """Pieces together; a key that two of them write is our own mistake."""
    keys: dict[str, Any] = {}
    for part in parts:
        twice = keys.keys() & part.keys.keys()
        assert not twice, f"written twice: {sorted(twice)}"
        keys |= part.keys
    return Fragment(
        keys,
        frozenset().union(*(p.claimed for p in parts)),
        tuple(d for p in parts for d in p.diagnostics),
    )
