"""`dsbridge check --resume CKPT`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dsbridge.checking.running import Report
    from dsbridge.subjects.unit import Unit


def with_resuming(report: Report, units: Sequence[Unit], name: str) -> Report:
    """The report with what becomes of a checkpoint in the one run that is given.

    Raises:
        InputError: there are several runs, or none.
    """
    from dsbridge.resuming.asking import resuming

    return report._replace(findings=(*report.findings, *resuming(units, name)))
