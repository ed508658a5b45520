"""`dsbridge targets`: who renders what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dsbridge.version import __version__

FIVE = ["accelerate", "deepspeed", "llamafactory", "trainer", "xtuner"]


def test_the_five_targets_come_from_this_distribution(dsbridge: Callable[..., Any]) -> None:
    result = dsbridge("targets", "--format", "json").json
    assert result["failures"] == []
    ours = [row for row in result["targets"] if row["package"] == f"dsbridge {__version__}"]
    assert [row["name"] for row in ours] == FIVE
    for row in ours:
        assert set(row) == {"name", "title", "requires", "installed", "plugin", "package"}
        assert row["requires"], row["name"]
        assert set(row["installed"]) == set(row["requires"])


def test_the_table_has_a_line_for_each(dsbridge: Callable[..., Any]) -> None:
    lines = dsbridge("targets").out.splitlines()
    assert lines[0].split() == ["name", "title", "supported", "installed", "package"]
    assert [line.split()[0] for line in lines[1:]] == FIVE
