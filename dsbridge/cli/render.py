"""`dsbridge render`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from dsbridge.artifacts import Artifacts, write_files
from dsbridge.cli.output import format_option, print_json, tell
from dsbridge.formats.document import read_text
from dsbridge.framework import Base
from dsbridge.rendering import framework_named, render
from dsbridge.spec.load import load_file


@click.command("render")
@click.argument("spec", default="dsbridge.yaml", type=click.Path(path_type=Path))
@click.option("--target", "-t", required=True, help="Framework to render for; see `dsbridge targets`.")
@click.option(
    "--base",
    type=click.Path(path_type=Path),
    help="Your own file: edited, with comments and order kept, instead of written anew.",
)
@click.option("--out", "-o", type=click.Path(path_type=Path), help="Folder to write to; else print.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Change the spec: zero.stage=3.")
@click.option("--force", is_flag=True, help="Replace files that exist.")
@format_option
def command(
    spec: Path,
    target: str,
    base: Path | None,
    out: Path | None,
    sets: tuple[str, ...],
    force: bool,
    format_: str,
) -> None:
    """Render SPEC (dsbridge.yaml if not given) into files that a framework trains with.

    Exit code 0: rendered. 1: the target cannot train this, and why. 2: the input is wrong.
    """
    framework_named(target)  # a wrong target is said before a wrong spec
    loaded = load_file(spec, sets)
    own = Base(base.name, read_text(base)) if base else None
    artifacts = render(loaded, target, own)
    if out and not artifacts.refused:
        write_files(artifacts.files, out, force=force)
    if format_ == "json":
        print_json(artifacts.to_json())
    else:
        tell(artifacts.diagnostics)
        _print_files(artifacts, out)
    sys.exit(1 if artifacts.refused else 0)


def _print_files(artifacts: Artifacts, out: Path | None) -> None:
    if artifacts.refused:
        click.echo(f"{artifacts.target} cannot train this spec; nothing was written", err=True)
    elif out:
        for name in artifacts.files:
            click.echo(f"wrote {out / name}")
    else:
        for name, text in artifacts.files.items():
            click.echo(f"==> {name} <==\n{text}")
