"""`dsbridge rules`."""

from __future__ import annotations

import click

from dsbridge.cli.output import format_option, print_json
from dsbridge.cli.rulepage import all_layers, rule_json, touches


@click.command("rules")
@click.option("--framework", help="Only what this framework runs through.")
@click.option("--field", help="Only rules about this field, as gradient_clipping.")
@format_option
def command(framework: str | None, field: str | None, format_: str) -> None:
    """List what the frameworks do to a DeepSpeed config.

    Exit code 0; 2 for a framework that nobody knows.
    """
    rows = [
        rule_json(layer, rule)
        for layer in all_layers(framework)
        for rule in layer.rules
        if field is None or touches(rule, field)
    ]
    if format_ == "json":
        print_json({"rules": rows})
        return
    for row in rows:
        click.echo(f"{row['code']}  {row['layer']:12} {row['phase']:8} {row['title']}")
    click.echo(f"{len(rows)} rules; `dsbridge rule CODE` tells all about one")
