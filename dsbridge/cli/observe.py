"""`dsbridge observe`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from dsbridge.cli.given import InputCommand, command_of
from dsbridge.cli.output import format_option, print_json


class CommandAlone(InputCommand):
    """A launch command and nothing else."""

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return ["[OPTIONS] -- COMMAND..."]


@click.command("observe", cls=CommandAlone)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Keep the JSON here.")
@click.option("--ranks", type=click.Choice(["0", "all"]), default="0", show_default=True, help="Of whom.")
@click.option("--stop", is_flag=True, help="End the run once the engine is built: nothing is trained.")
@click.option("--against", metavar="FILE", help="A dsbridge.yaml, a framework's file, or the word `command`.")
@click.option("--target", "-t", default="", help="The framework that --against is read or rendered for.")
@format_option
@click.pass_context
def command(
    ctx: click.Context,
    format_: str,
    output: Path | None,
    ranks: str,
    stop: bool,
    against: str | None,
    target: str,
) -> None:
    """Run a launch command as it is, and say what deepspeed.initialize got.

    Nothing of the program is changed: a hook in its environment alone keeps, of every call, the config as it
    came, what the engine made of it, and the line that called. Signals are passed on.

    Exit code: the command's own; it dies by the signal that killed the command. 1 in place of 0: a difference
    from --against. 2: the command cannot be started, or --against cannot be read.
    """
    from dsbridge.watching.holding import meant
    from dsbridge.watching.observing import observe, write
    from dsbridge.watching.signals import die_of
    from dsbridge.watching.telling import lines

    words = command_of(ctx, "observe")
    held = meant(against, target) if against else None
    found = observe(words, ranks=ranks, stop=stop, held=held, quiet_stdout=format_ == "json")
    if output:
        write(output, found.to_json())
    if format_ == "json":
        print_json(found.to_json())
    else:
        click.echo("\n".join(lines(found.report, against or "", found.differences)), err=True)
    sys.stdout.flush()
    if found.report.ended.signal is not None:
        die_of(found.report.ended.signal)
    sys.exit(found.code)
