"""What a killed build of one of DeepSpeed's operators leaves behind."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from conformance.oracle.builds import LONGEST, building, remove_locks


@pytest.mark.parametrize(("age", "runs"), [(0.0, True), (LONGEST + 60, False)])
def test_a_lock_stands_for_a_build_as_long_as_one_can_take(tmp_path: Path, age: float, runs: bool) -> None:
    lock = tmp_path / "pin_memory" / "lock"
    lock.parent.mkdir()
    lock.touch()
    os.utime(lock, (time.time() - age,) * 2)
    assert building(tmp_path) is runs
    assert remove_locks(tmp_path, older=LONGEST) == ([] if runs else [lock])
    assert lock.exists() is runs
    remove_locks(tmp_path)
    assert not lock.exists()


def test_nothing_is_built_where_no_operator_ever_was(tmp_path: Path) -> None:
    assert not building(tmp_path / "torch_extensions")
    assert remove_locks(tmp_path / "torch_extensions") == []
