"""What a DeepSpeed release does with checkpoints, as harvested (tools/harvest_resuming.py)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from dsbridge.deepspeed.autotp import _within


@cache
def table() -> Mapping[str, Any]:
    """The whole table."""
    found = json.loads(Path(__file__).with_name("resuming.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def does(behaviour: str, version: str) -> bool:
    """Whether a DeepSpeed release has it."""
    return _within(table()["behaviours"][behaviour], version)
