"""Names in folders and small texts, as far as they can be had without harm."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

MOST = 200_000  # names of a folder
MAX_TEXT = 16 * 1024 * 1024


def listed(folder: Path) -> tuple[str, ...]:
    """The names in a folder; none if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return tuple(sorted(entry.name for entry in islice(entries, MOST)))
    except OSError:
        return ()


def small(path: Path, most: int = MAX_TEXT) -> str | None:
    """The text of a regular file that is not large; None for anything else."""
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode) or about.st_size > most:
            return None
        return path.read_bytes()[: most + 1].decode("utf-8")
    except (OSError, ValueError):
        return None


def object_of(path: Path) -> Mapping[str, Any] | None:
    """The JSON object in a file; None for none."""
    text = small(path)
    if text is None:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
