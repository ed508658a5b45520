"""DeepSpeed builds its CPU operators on first use; torch's lock file outlives a build that was killed.

Every later run of the same operator then waits for that file without end (torch.utils.file_baton). So a run
that builds gets the time that a build needs, and what a killed run leaves behind is removed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

# seconds; the largest operator takes one minute alone on two cores
LONGEST = 600.0


def _locks(folder: Path) -> Iterator[tuple[Path, float]]:
    """Lock files and their age in seconds."""
    for lock in folder.glob("*/lock"):
        try:
            yield lock, time.time() - lock.stat().st_mtime
        except FileNotFoundError:
            continue  # that build has just ended


def building(folder: Path) -> bool:
    """Whether an operator is being built: a lock that is not older than any build takes."""
    return any(age < LONGEST for _, age in _locks(folder))


def remove_locks(folder: Path, *, older: float = 0.0) -> list[Path]:
    """Remove the locks that are at least so many seconds old; they are returned."""
    stale = [lock for lock, age in _locks(folder) if age >= older]
    for lock in stale:
        lock.unlink(missing_ok=True)
    return stale
