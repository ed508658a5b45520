"""`dsbridge diff`."""

from __future__ import annotations

import sys
from typing import Any

import click

from dsbridge.cli.given import InputCommand, given, input_options, outside_option
from dsbridge.cli.output import format_option, print_json, tell


class TwoInputs(InputCommand):
    """A command with two inputs, each a file or a launch command."""

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return ["[OPTIONS] A B | A -- COMMAND... | -- COMMAND... -- COMMAND..."]


@click.command("diff", cls=TwoInputs)
@input_options
@click.option("--all", "everything", is_flag=True, help="Also what is unknown, but the same on both sides.")
@outside_option
@format_option
@click.pass_context
def command(ctx: click.Context, /, format_: str, everything: bool, **options: Any) -> None:
    """Compare what two inputs train with, and say what each difference means.

    A and B are files, or launch commands in quotes; a command may also follow `--`. Compared are the
    effective DeepSpeed configs, defaults included, the true batch, optimizer and learning-rate curve: not
    the data, the model, epochs or seed. Facts hold for both sides.

    Exit code 0: they train the same. 1: the result, or speed or memory, differs. 2: one cannot be read.
    """
    from dsbridge.differing import diff
    from dsbridge.sides import readers, sides

    asked = given(ctx, options)
    files = asked.bounded()
    pair = sides(asked.files, asked.command, files)
    found = diff(*readers(pair, files, asked.target, asked.facts, asked.versions), everything=everything)
    if format_ == "json":
        print_json(found.to_json())
    else:
        from dsbridge.cli.differences import lines

        tell(found.diagnostics)
        click.echo("\n".join(lines(found, pair)))
    sys.exit(0 if found.equal else 1)
