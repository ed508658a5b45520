"""`dsbridge parse`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dsbridge.cli.given import InputCommand, given, source_options
from dsbridge.cli.output import format_option, print_json, tell


@click.command("parse", cls=InputCommand)
@source_options
@click.option("--out", "-o", type=click.Path(path_type=Path), help="The spec's file; else print.")
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@format_option
@click.pass_context
def command(
    ctx: click.Context, /, format_: str, source: str, out: Path | None, force: bool, **options: Any
) -> None:
    """Make a spec of a framework's own files, or of a launch command.

    What the spec has no key for is kept word for word under `deepspeed` or `frameworks`, or told.

    Exit code 0: parsed. 2: the input cannot be read.
    """
    from dsbridge.artifacts import write_files
    from dsbridge.formats.yaml_text import to_yaml
    from dsbridge.parsing import parse, to_json

    asked = given(ctx, options)
    files, names = asked.opened()
    found = parse(files, names, asked.command, source=source, facts=asked.facts, versions=asked.versions)
    read = ", ".join(asked.files) or "a launch command"
    text = f"# Read from {read} as {found.input.framework.title}.\n{to_yaml(found.loaded.document.value)}"
    if out:
        write_files({out.name: text}, out.parent, force=force)
    if format_ == "json":
        print_json(to_json(found))
        return
    tell(found.diagnostics)
    click.echo(f"wrote {out}" if out else text, nl=bool(out))
