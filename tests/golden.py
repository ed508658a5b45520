"""Compare with a file in the repository; `UPDATE_GOLDEN=1 pytest` rewrites it for review."""

from __future__ import annotations

import os
from pathlib import Path


def check_golden(path: Path, text: str) -> None:
    """Assert that `text` is what the file holds."""
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.is_file(), f"{path} is missing; UPDATE_GOLDEN=1 pytest makes it"
    assert text == path.read_text(encoding="utf-8")
