"""`dsbridge check`."""

from __future__ import annotations

import sys
from typing import Any

import click

from dsbridge.cli.given import InputCommand, given, input_options, outside_option
from dsbridge.cli.output import format_option, print_json


@click.command("check", cls=InputCommand)
@input_options
@outside_option
@format_option
@click.pass_context
def command(ctx: click.Context, /, format_: str, **options: Any) -> None:
    """Find mistakes in training configs before a GPU hour is spent.

    FILE... are files that belong together, folders, patterns such as 'conf/**/*.json', guides in Markdown,
    shell scripts, or - for standard input; `-- COMMAND...` is the launch command itself, read and never run.

    Exit code 0: nothing of severity error. 1: errors. 2: the input cannot be read.
    """
    from dsbridge.checking.running import check_units, to_json
    from dsbridge.checking.units import STDIN, units_of
    from dsbridge.diagnostics import Severity
    from dsbridge.formats.document import MAX_BYTES, decode

    asked = given(ctx, options)
    files = asked.bounded()
    if STDIN in asked.files:
        files = files.over({STDIN: decode(sys.stdin.buffer.read(MAX_BYTES + 1), "standard input")})
    units, skipped = units_of(files, asked.files, asked.command, target=asked.target,
                              facts=asked.facts, versions=asked.versions)  # fmt: skip
    report = check_units(units)._replace(skipped=tuple(skipped))
    if format_ == "json":
        print_json(to_json(report))
    else:
        for finding in report.findings:
            click.echo(finding.to_text())
    sys.exit(1 if report.count(Severity.ERROR) else 0)
