"""Verify a live engine: each rank compares, all ranks hear of it, and one verdict holds for all."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dsbridge.against import RUNNING, UNREAD, Drift
from dsbridge.hooks.live import effective
from dsbridge.hooks.meant import Given, Meant, meant
from dsbridge.hooks.own import named, of_arguments, own_predictions
from dsbridge.hooks.ranks import gathered
from dsbridge.hooks.telling import DriftError, DriftWarning, checked_mode, message, write


def verify_engine(
    engine: Any,
    spec: Given,
    *,
    target: str = "",
    on_difference: str = "raise",
    record_to: str | os.PathLike[str] | None = None,
) -> list[Drift]:
    """Compare a live DeepSpeed engine (None: there is none) with a spec or framework files.

    Every rank calls it. on_difference: "raise", "warn" or "record" (nothing but the result). record_to: a
    JSON file for what was compared, written by rank 0.

    Raises:
        DriftError: on every rank, when any of them differs.
        InputError: `spec` cannot be read.
        ValueError: `on_difference` is no mode.
    """
    mode = checked_mode(on_difference)
    return judge(engine, meant(spec, target), mode, record_to)


def judge(
    engine: Any,
    wish: Meant,
    mode: str,
    record_to: str | os.PathLike[str] | None = None,
    arguments: Any = None,
) -> list[Drift]:
    """The same with what was read before. arguments: the live TrainingArguments, if there are any."""
    seen = effective(engine)
    try:
        mine: Any = differences(wish, seen, arguments)
    except Exception as problem:  # the others must hear of it: they would wait for this rank
        mine = f"{type(problem).__name__}: {problem}"
    said = gathered(mine)
    broken = [f"rank {rank}: {text}" for rank, text in enumerate(said) if isinstance(text, str)]
    if broken:
        return _not_verified(mode, wish.name, broken, seen["rank"])
    ranks = [rank for rank, drift in enumerate(said) if drift]
    found: list[Drift] = mine or next((drift for drift in said if drift), [])
    if record_to is not None and seen["rank"] == 0:
        try:
            write(Path(record_to), wish.name, seen, found)
        except OSError as problem:  # one rank that stopped here alone would leave the others waiting
            warnings.warn(f"{record_to} is not written: {problem}", DriftWarning, stacklevel=4)
    if found and mode != "record":
        _tell(mode, wish.name, found, ranks, seen["rank"], len(said))
    return found


def _not_verified(mode: str, name: str, broken: Sequence[str], rank: int) -> list[Drift]:
    text = f"the run could not be compared with {name}: {'; '.join(broken)}"
    if mode == "raise":
        raise RuntimeError(text)
    if rank == 0:
        warnings.warn(text, DriftWarning, stacklevel=5)
    return []


def differences(wish: Meant, seen: dict[str, Any], arguments: Any = None) -> list[Drift]:
    """What differs on this rank, with who set it."""
    drift = wish.compare(seen, None)
    if not drift:
        return []  # who set what is read from the user's files: only where somebody wants to know
    for own in own_predictions(seen):
        drift = named_by(drift, wish.compare(seen, own))
    live = None if arguments is None else of_arguments(arguments, seen)
    if live is None:
        return drift
    by = wish.compare(seen, live)
    return named_by(drift, [entry._replace(set_by=named(entry.set_by, arguments)) for entry in by])


def named_by(drift: Sequence[Drift], other: Sequence[Drift]) -> list[Drift]:
    """The differences, each by whom the second account names where the first names nobody."""
    who = {entry.path: entry.set_by for entry in other}
    return [entry._replace(set_by=max(entry.set_by, who.get(entry.path, ""), key=_sure)) for entry in drift]


def _sure(by: str) -> int:
    """How much it says: nothing, that nothing could be read, that nothing read comes to it, or who."""
    return 0 if not by else 1 if by.startswith(UNREAD) else 2 if by.startswith(RUNNING) else 3


def _tell(mode: str, name: str, found: Sequence[Drift], ranks: Sequence[int], rank: int, world: int) -> None:
    text = message(name, found, ranks, world)
    if mode == "raise":
        first = ranks[0]
        short = f"the run is not as {name} says: rank {first} tells how"
        raise DriftError(text if rank == first else short, found, ranks)
    if rank == ranks[0]:
        warnings.warn(text, DriftWarning, stacklevel=4)
