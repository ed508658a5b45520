"""`dsbridge launch`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from dsbridge.cli.output import format_option, print_json, tell
from dsbridge.diagnostics import Code, InputError, Severity
from dsbridge.spec.launching import KINDS

if TYPE_CHECKING:
    from dsbridge.launching import Prepared

NOT_STARTED = Code("LN030", "not-started", Severity.ERROR, "The program that starts the launch is not there.")
NOT_HERE = Code("LN031", "launch-elsewhere", Severity.ERROR, "Files cannot be launched from another folder.")
CODES = (NOT_STARTED, NOT_HERE)


@click.command("launch")
@click.argument("files", nargs=-1, type=click.Path())
@click.option("--target", "-t", default="", help="Framework to launch; files of one are recognised.")
@click.option("--kind", "-k", default="", type=click.Choice(("", *KINDS)), help="What starts the processes.")
@click.option("--out", "-o", type=click.Path(path_type=Path), help="Folder to write to; else print.")
@click.option("--exec", "run", is_flag=True, help="Write the files, then become the launch.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Change the spec: cluster.nodes=2.")
@click.option("--force", is_flag=True, help="Replace files that exist.")
@format_option
def command(
    files: tuple[str, ...],
    target: str,
    kind: str,
    out: Path | None,
    run: bool,
    sets: tuple[str, ...],
    force: bool,
    format_: str,
) -> None:
    """Print, write or run the launch of a dsbridge.yaml, or of a framework's own FILES.

    With --exec the files are written to --out, or beside the spec, and this process becomes the launch: its
    exit code and its signals are those of the launch.

    Exit code 0: done. 1: the target cannot train or be started so, and why. 2: the input is wrong.
    """
    from dsbridge.launching import REFUSED_KIND, prepare

    given = files or ("dsbridge.yaml",)
    try:
        made = prepare(given, target, kind, sets)
    except InputError as error:
        if [d.code for d in error.diagnostics] != [REFUSED_KIND.code]:
            raise
        if format_ == "json":
            print_json(_refusal(target, kind, error))
        else:
            tell(error.diagnostics)
        sys.exit(1)
    refused = made.artifacts.refused
    if made.here and out is not None and out.resolve() != Path.cwd():
        message = f"--out {out}: a launch of your own files names them from the folder you are in"
        raise InputError([NOT_HERE(message, hint="Leave --out out, or write --out .")])
    tell(made.artifacts.diagnostics if format_ != "json" else ())
    folder = out or (_folder(made, given) if run else None)
    if folder is not None and not refused:
        _write(made, folder, force=force)
    if format_ == "json":
        print_json(to_json(made))
    elif refused:
        click.echo(f"{made.artifacts.target} cannot be launched so; nothing was written", err=True)
    else:
        _print(made, folder, run=run)
    if run and folder is not None and not refused:
        _become(made.command, folder)
    sys.exit(1 if refused else 0)


def to_json(made: Prepared) -> dict[str, Any]:
    """As render's, with the kind and the words that start it."""
    shown = made.artifacts.to_json()
    return {"target": shown.pop("target"), "kind": made.kind, **shown, "command": list(made.command)}


def _refusal(target: str, kind: str, error: InputError) -> dict[str, Any]:
    launch: dict[str, Any] = {"env": {}, "argv": [], "script": ""}
    found = [d.to_json() for d in error.diagnostics]
    return {
        "target": target,
        "kind": kind,
        "files": {},
        "launch": launch,
        "diagnostics": found,
        "command": [],
    }


def _folder(made: Prepared, given: tuple[str, ...]) -> Path:
    """Beside the spec: the script it names is meant from there. Files are named from where the user is."""
    return Path() if made.here else Path(given[0]).parent


def _write(made: Prepared, folder: Path, *, force: bool) -> None:
    """Files that already say the same stay as they are, so that a launch can be run again."""
    from dsbridge.artifacts import write_files

    def there(name: str, text: str) -> bool:
        try:
            return (folder / name).read_text(encoding="utf-8") == text
        except (OSError, UnicodeDecodeError):
            return False

    new = {name: text for name, text in made.artifacts.files.items() if not there(name, text)}
    write_files(new, folder, force=force)


def _print(made: Prepared, folder: Path | None, *, run: bool) -> None:
    """With --exec stdout belongs to the launch."""
    if folder is None:
        for name, text in made.artifacts.files.items():
            click.echo(f"==> {name} <==\n{text}")
        return
    for name in made.artifacts.files:
        click.echo(f"wrote {folder / name}", err=run)
    import shlex

    where = "" if str(folder) == "." else f"cd {shlex.quote(str(folder))} && "
    click.echo(f"{'running' if run else 'start it with'}: {where}{shlex.join(made.command)}", err=run)


def _become(words: tuple[str, ...], folder: Path) -> NoReturn:
    """Replace this process: nothing of dsbridge stays between the shell and the launch."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.chdir(folder)
    try:
        os.execvp(words[0], words)
    except OSError as error:
        reason = error.strerror or str(error)
        hint = f"The files are in {folder}."
        raise InputError([NOT_STARTED(f"{words[0]}: {reason}", hint=hint)]) from None
