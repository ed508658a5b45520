"""`dsbridge targets`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import click

from dsbridge.cli.output import format_option, print_json
from dsbridge.plugins import registry

COLUMNS = ("name", "title", "supported", "installed", "package")


@click.command("targets")
@format_option
def command(format_: str) -> None:
    """List the frameworks that can be rendered, and who registered them."""
    known = registry()
    rows = [_row(name) for name in sorted(known.frameworks)]
    if format_ == "json":
        print_json({"targets": rows, "failures": [str(error) for error in known.failures]})
    else:
        _print_table(rows)
        for error in known.failures:
            click.echo(f"error PL001 broken-plugin: {error}", err=True)
    sys.exit(1 if known.failures else 0)


def _row(name: str) -> dict[str, Any]:
    known = registry()
    framework, origin = known.frameworks[name], known.origins[name]
    return {
        "name": name,
        "title": framework.title,
        "requires": dict(framework.requires),
        "installed": {package: _installed(package) for package in framework.requires},
        "plugin": origin.plugin,
        "package": origin.package_name,
    }


def _installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _print_table(rows: list[dict[str, Any]]) -> None:
    cells = [
        (
            row["name"],
            row["title"],
            ", ".join(f"{package} {versions}" for package, versions in row["requires"].items()),
            ", ".join(f"{p} {v}" for p, v in row["installed"].items() if v) or "-",
            row["package"],
        )
        for row in rows
    ]
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        _print_rich(cells)
        return
    widths = [max(len(row[i]) for row in [COLUMNS, *cells]) for i in range(len(COLUMNS))]
    for row in [COLUMNS, *cells]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _print_rich(cells: Sequence[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*COLUMNS, box=None, header_style="bold")
    for row in cells:
        table.add_row(*row)
    Console().print(table)
