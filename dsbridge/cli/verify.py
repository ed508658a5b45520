"""`dsbridge verify`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from dsbridge.cli.given import InputCommand, given, input_options
from dsbridge.cli.output import format_option, print_json, tell


@click.command("verify", cls=InputCommand)
@input_options
@click.option("--log", type=click.Path(path_type=Path), help="Keep what the framework printed.")
@format_option
@click.pass_context
def command(ctx: click.Context, /, format_: str, log: Path | None, **options: Any) -> None:
    """Run the installed framework to deepspeed.initialize and compare with the prediction.

    The command is run in a child process, as rank 0 of a simulated world, on the CPU, and ended as soon as
    the engine is built: nothing is trained. Models without local weights are stood in for by small ones of
    the same config.

    Exit code 0: as predicted. 1: a difference. 2: the input cannot be read, or a package is missing.
    """
    from dsbridge.prediction import predict
    from dsbridge.verification import verify

    asked = given(ctx, options)
    found = predict(asked.files, asked.command, asked.target, asked.facts, asked.versions)
    result = verify(found, keep=log)
    if format_ == "json":
        print_json(result.to_json())
    else:
        tell(found.diagnostics)
        versions = ", ".join(f"{name} {version}" for name, version in result.environment.items())
        click.echo(f"ran {found.framework} ({versions})")
        for row in result.differences:
            click.echo(f"  {row['path']}: predicted {row['predicted']!r}, observed {row['observed']!r}")
        count = len(result.differences)
        click.echo("as predicted" if not count else f"{count} differences")
    sys.exit(1 if result.differences else 0)
