"""`dsbridge plan`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dsbridge.cli.given import InputCommand, given, input_options
from dsbridge.cli.output import format_option, print_json, tell
from dsbridge.cli.planoptions import plan_options

if TYPE_CHECKING:
    from dsbridge.planning.answering import Asked, Estimated
    from dsbridge.planning.telling import Plan

SHOWN = 8


@click.command("plan", cls=InputCommand)
@input_options
@plan_options
@click.option("--top", type=click.IntRange(1), default=SHOWN, show_default=True, help="Layouts to show.")
@click.option("--all", "everything", is_flag=True, help="Every layout, not the best of each kind.")
@click.option("--explain", is_flag=True, help="Each part of the memory, its formula, and its source.")
@click.option(
    "--like", type=click.Choice(["deepspeed"]), help="Print what DeepSpeed's own estimators say instead."
)
@click.option("--write", type=click.Path(path_type=Path), help="Write the chosen spec, a dsbridge.yaml.")
@click.option("--html", type=click.Path(path_type=Path), help="Write a report, one page for a browser.")
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@format_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    format_: str,
    top: int,
    everything: bool,
    explain: bool,
    like: str | None,
    write: Path | None,
    html: Path | None,
    force: bool,
    **options: Any,
) -> None:
    """Say which layout fits, what it costs, and why, before anything is launched.

    Either `--model M --gpus N --gpu NAME`, or FILE... or `-- COMMAND...`: your own set-up is the starting
    point then, and is told first.

    Exit code 0: planned. 2: the question makes no sense, or the input cannot be read.
    """
    from dsbridge.planning.answering import answer, estimates

    asked = _asked(ctx, options)
    if like:
        _print_estimates(estimates(asked), format_)
        return
    plan = answer(asked)
    _write(plan, write, html, force)
    _print(plan, format_, top, everything, explain)
    for path in (write, html):
        if path and format_ == "text":
            click.echo(f"wrote {path}")
    sys.exit(0)


def _asked(ctx: click.Context, options: dict[str, Any]) -> Asked:
    """What the command line says."""
    from dsbridge.cli.planoptions import question, wanted
    from dsbridge.planning.answering import Asked

    model = options["model"]
    if options["gpus"] and not options["world_size"]:
        options["world_size"] = options["gpus"]
    needed = not (model or options["gpus"])
    found = given(ctx, {**options, "model": None}, needed=needed)
    files, names = found.opened()
    return Asked(
        question(options, found.versions), wanted(options), files, names, found.command,
        found.target, found.facts, found.versions,
    )  # fmt: skip


def _write(plan: Plan, spec: Path | None, html: Path | None, force: bool) -> None:
    """Both files, or none: their texts are made first, and one that is there already is refused first."""
    from dsbridge.artifacts import write_files

    texts: dict[Path, str] = {}
    if spec:
        from dsbridge.formats.yaml_text import to_yaml
        from dsbridge.planning.answering import chosen_spec

        texts[spec] = f"# Chosen by dsbridge plan.\n{to_yaml(chosen_spec(plan))}"
    if html:
        from dsbridge.report.page import page

        texts[html] = page(plan)
    for path in sorted(texts, key=lambda path: not path.exists()):
        write_files({path.name: texts[path]}, path.parent, force=force)


def _print(plan: Plan, format_: str, top: int, everything: bool, explain: bool) -> None:
    from dsbridge.planning.answering import shown

    layouts = shown(plan, top, everything=everything)
    if format_ == "json":
        from dsbridge.planning.telling import to_json

        print_json(to_json(plan, layouts))
        return
    from dsbridge.cli.planpage import lines, parts

    tell(plan.diagnostics)
    click.echo("\n".join(lines(plan, layouts)))
    if explain:
        click.echo("\n".join(parts(plan)))


def _print_estimates(found: Sequence[Estimated], format_: str) -> None:
    """As DeepSpeed prints them, or as JSON."""
    if format_ == "json":
        print_json({"like": "deepspeed", "estimates": [row._asdict() for one in found for row in one.rows]})
        return
    click.echo("\n".join(one.text for one in found), nl=False)
