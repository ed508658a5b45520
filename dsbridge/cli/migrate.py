"""`dsbridge migrate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from dsbridge.cli.given import InputCommand, given, source_options
from dsbridge.cli.output import format_option, print_json, tell


@click.command("migrate", cls=InputCommand)
@source_options
@click.option("--to", "to", required=True, help="The framework to carry it over to; see `dsbridge targets`.")
@click.option("--sharding", type=click.Choice(["zero", "fsdp"]), help="Make ZeRO of FSDP, or FSDP of ZeRO.")
@click.option(
    "--base",
    type=click.Path(path_type=Path),
    help="Your own file of the target: edited, with comments and order kept.",
)
@click.option("--out", "-o", type=click.Path(path_type=Path), help="Folder to write to; else print.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Change the spec on the way.")
@click.option("--force", is_flag=True, help="Replace files that exist.")
@format_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    format_: str,
    to: str,
    source: str,
    sharding: str | None,
    base: Path | None,
    out: Path | None,
    sets: tuple[str, ...],
    force: bool,
    **options: Any,
) -> None:
    """Carry a set-up over to another framework, and say what became of every key.

    Exit code 0: carried over. 1: the target cannot train this, and why. 2: the input cannot be read.
    """
    from dsbridge.artifacts import write_files
    from dsbridge.formats.document import read_text
    from dsbridge.framework import Base
    from dsbridge.migrating import migrate

    asked = given(ctx, options)
    files, names = asked.opened()
    found = migrate(
        files,
        names,
        asked.command,
        target=to,
        source=source,
        sharding=sharding or "",
        base=Base(base.name, read_text(base)) if base else None,
        sets=sets,
        facts=asked.facts,
        versions=asked.versions,
    )
    if out and not found.refused:
        write_files(found.artifacts.files, out, force=force)
    if format_ == "json":
        print_json(found.to_json())
    else:
        from dsbridge.cli.moves import print_moves

        tell(found.diagnostics)
        print_moves(found, out)
    sys.exit(1 if found.refused else 0)
