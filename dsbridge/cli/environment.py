"""`dsbridge check --env`: the versions that are installed here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dsbridge.checking.running import Report
    from dsbridge.cli.given import Given


def with_environment(asked: Given) -> Given:
    """The same request for the versions here; those of --versions win."""
    from dsbridge.checking.environment import installed_here

    return asked._replace(versions={**installed_here(), **asked.versions})


def about_environment(report: Report, asked: Given) -> Report:
    """The report with what is wrong with the versions themselves."""
    from dsbridge.checking.environment import environment_findings

    units = report.units or ("the packages installed here",)
    return report._replace(units=units, findings=(*environment_findings(asked.versions), *report.findings))
