"""`dsbridge explain`."""

from __future__ import annotations

import sys
from typing import Any

import click

from dsbridge.cli.given import InputCommand, given, input_options
from dsbridge.cli.output import format_option, print_json, tell


@click.command("explain", cls=InputCommand)
@input_options
@click.option("--field", metavar="PATH", help="One field's story in full, as gradient_clipping.")
@click.option("--all", "everything", is_flag=True, help="DeepSpeed's own defaults too.")
@format_option
@click.pass_context
def command(ctx: click.Context, /, format_: str, field: str | None, everything: bool, **options: Any) -> None:
    """Predict what deepspeed.initialize receives, who set each value, and why.

    FILE... are files that belong together; `-- COMMAND...` is the launch command itself, read and never
    run. A dsbridge.yaml is rendered for --target first.

    Exit code 0: predicted. 1: the framework refuses, and why. 2: the input cannot be read.
    """
    from dsbridge.explaining import REFUSED, to_json
    from dsbridge.prediction import predict

    asked = given(ctx, options)
    found = predict(asked.files, asked.command, asked.target, asked.facts, asked.versions)
    if format_ == "json":
        print_json(to_json(found, everything=everything))
    else:
        from dsbridge.cli.story import field_story, table

        lines = field_story(found, field) if field else table(found, everything=everything)
        click.echo("\n".join(lines))
        # the table has told the refusal already
        tell(d for d in found.diagnostics if field or d.code != REFUSED.code)
    sys.exit(1 if found.outcome == "refused" else 0)
