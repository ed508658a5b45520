"""`dsbridge check`."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, Any

import click

from dsbridge.cli.environment import about_environment, with_environment
from dsbridge.cli.given import Given, InputCommand, given, input_options, outside_option
from dsbridge.cli.output import painted, print_json, tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dsbridge.checking.choosing import Choice
    from dsbridge.checking.fixing import Repair
    from dsbridge.checking.running import Report
    from dsbridge.diagnostics import Diagnostic
    from dsbridge.reading import Files
    from dsbridge.subjects.unit import Unit


@click.command("check", cls=InputCommand)
@input_options
@outside_option
@click.option(
    "--select", multiple=True, metavar="CODES", help="Only these codes, or beginnings of codes (CK1)."
)
@click.option("--ignore", multiple=True, metavar="CODES", help="Not these codes, or beginnings of codes.")
@click.option("--all", "everything", is_flag=True, help="Show the notes, too.")
@click.option(
    "--each", is_flag=True, help="Every FILE by itself; those that nobody recognises are passed over."
)
@click.option(
    "--resume",
    metavar="CKPT",
    help="Whether this run can load a checkpoint folder: names and metadata are read, never its tensors.",
)
@click.option("--fix", is_flag=True, help="Repair what can be repaired safely, in place; notes with --all.")
@click.option(
    "--env", "environment", is_flag=True, help="The releases that are installed here, too; needs no FILE."
)
@click.option("--diff", is_flag=True, help="Print what --fix would change, and change nothing.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json", "github", "sarif"]),
    default="text",
    show_default=True,
    help="text for people, json for programs, github for workflows, sarif for code scanning.",
)
@click.pass_context
def command(
    ctx: click.Context,
    /,
    format_: str,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    everything: bool,
    each: bool,
    environment: bool,
    resume: str | None,
    fix: bool,
    diff: bool,
    **options: Any,
) -> None:
    """Find mistakes in training configs before a GPU hour is spent.

    FILE... are files that belong together, folders, patterns such as 'conf/**/*.json', guides in Markdown,
    shell scripts, or - for standard input; `-- COMMAND...` is the launch command itself, read and never run.
    `# dsbridge: ignore[CODE]` in a file, .dsbridge.toml or [tool.dsbridge] in pyproject.toml say what is not
    wanted.

    Exit code 0: nothing of severity error. 1: errors. 2: the input cannot be read.
    """
    from dsbridge.checking.choosing import Choice
    from dsbridge.checking.running import check_units
    from dsbridge.checking.units import STDIN
    from dsbridge.cli.rulepage import diagnostic_codes
    from dsbridge.diagnostics import Severity
    from dsbridge.formats.document import MAX_BYTES, decode
    from dsbridge.plugins import BROKEN, registry

    asked = given(ctx, options, needed=not environment)
    if environment:
        asked = with_environment(asked)
    first = asked.files[0] if asked.files else ""
    choice = Choice(first, diagnostic_codes, _codes(select), _codes(ignore))
    files = asked.bounded()
    if STDIN in asked.files:
        files = files.over({STDIN: decode(sys.stdin.buffer.read(MAX_BYTES + 1), "standard input")})

    # rules and tables stay until the end, and what a file leaves behind is little: look for it seldom
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)

    def check(texts: Files) -> Report:
        units, skipped = _units(asked, choice, texts, each=each)
        found = check_units(units)._replace(skipped=tuple(skipped))
        if resume is not None:
            from dsbridge.cli.resume import with_resuming

            found = with_resuming(found, units, resume)
        return choice.of(about_environment(found, asked) if environment else found, texts)

    report = check(files)
    repaired = _repaired(check, files, write=fix and not diff, notes=everything) if fix or diff else None
    shown = report if diff or repaired is None else repaired.report
    files = files if diff or repaired is None else files.over(repaired.texts)
    tell(BROKEN(str(error), severity=Severity.WARNING) for error in registry().failures)
    _print(shown, files, format_, repaired, everything=everything, diff=diff)
    sys.exit(1 if shown.count(Severity.ERROR) else 0)


def _repaired(check: Callable[[Files], Report], files: Files, *, write: bool, notes: bool) -> Repair:
    """The repairs, written if they are asked for."""
    from dsbridge.checking.fixing import repair
    from dsbridge.checking.writing import replace_text

    found = repair(check, files, notes=notes)
    for name, text in found.texts.items() if write else ():
        replace_text(files.folder / name, files.text(name), text)
    return found


def _codes(words: tuple[str, ...]) -> tuple[str, ...] | None:
    """Codes of an option that may be given several times, or with commas; None if it is not given."""
    found = [code.strip().upper() for word in words for code in word.split(",") if code.strip()]
    return tuple(found) if words else None


def _units(asked: Given, choice: Choice, files: Files, *, each: bool) -> tuple[list[Unit], list[str]]:
    """What is checked, and what nobody recognises. The facts of the command line win over the settings'."""
    if not asked.files and not asked.command:
        return [], []
    from dsbridge.checking.units import units_of

    settings = choice.base
    units, skipped = units_of(
        files,
        asked.files,
        asked.command,
        target=asked.target or settings.target,
        facts={**settings.facts, **asked.facts},
        versions={**settings.versions, **asked.versions},
        each=each,
    )

    def left_out(names: tuple[str, ...]) -> bool:
        """Files of a folder; what is named itself is never left out."""
        return not set(names) & set(asked.files) and any(map(choice.excludes, names))

    kept = [unit for unit in units if not left_out(unit.given or tuple(filter(None, (unit.guide,))))]
    return kept, [name for name in skipped if not left_out((name,))]


def _print(
    report: Report, files: Files, format_: str, repaired: Repair | None, *, everything: bool, diff: bool
) -> None:
    from dsbridge.checking import printing
    from dsbridge.checking.fixing import fixable, unified

    known: dict[int, bool] = {}  # trying a repair takes time; the report holds the findings, and their ids

    def can(finding: Diagnostic) -> bool:
        if id(finding) not in known:
            known[id(finding)] = fixable(finding, files, notes=everything)
        return known[id(finding)]

    changed = unified(files, repaired.texts) if repaired and diff else ""
    if format_ == "json":
        from dsbridge.checking.running import to_json

        told = {**repaired.to_json(), **({"diff": changed} if diff else {})} if repaired else {}
        print_json({**to_json(report, sum(map(can, report.findings))), **told})
    elif format_ == "sarif":
        from dsbridge.checking.catalogue import all_checks
        from dsbridge.checking.sarif import sarif
        from dsbridge.cli.rulepage import diagnostic_codes
        from dsbridge.plugins import registry

        print_json(sarif(report, all_checks(registry()), diagnostic_codes()))
    elif diff:
        click.echo(changed, nl=False)
        click.echo(printing.summary(report, sum(map(can, report.findings))), err=True)
    elif format_ == "github":
        _echo(printing.github_lines(report, everything=everything))
    else:
        _echo(printing.repair_lines(repaired.fixed, repaired.failed) if repaired else ())
        _echo(printing.text_lines(report, everything=everything, paint=painted, fixable=can))


def _echo(lines: Iterable[str]) -> None:
    text = "".join(f"{line}\n" for line in lines)
    if text:
        click.echo(text, nl=False)
