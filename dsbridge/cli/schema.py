"""`dsbridge schema`."""

from __future__ import annotations

import click

from dsbridge.cli.output import format_option, print_json
from dsbridge.deepspeed.blocks import nearest
from dsbridge.deepspeed.known import harvested
from dsbridge.deepspeed.schema import deepspeed_schema
from dsbridge.rules import numbers
from dsbridge.spec.schema import spec_schema


@click.command("schema")
@click.option(
    "--deepspeed",
    "version",
    metavar="VERSION",
    help="The schema of a ds_config.json as this release of DeepSpeed reads it, such as 0.18.4.",
)
@format_option
def command(version: str | None, format_: str) -> None:
    """Print the JSON Schema of dsbridge.yaml, or of a ds_config.json, for editors and other tools.

    An editor with a YAML language server reads it from the first line of a spec:
    `# yaml-language-server: $schema=dsbridge.schema.json`.
    """
    # the schema is JSON in either format
    print_json(spec_schema() if version is None else deepspeed_schema(known_release(version)))


def known_release(version: str) -> str:
    """The harvested release that stands for a version: itself, or the nearest older one."""
    releases = harvested()
    if not numbers(releases[0]) <= numbers(version) <= numbers(releases[-1]):
        raise click.BadParameter(
            f"DeepSpeed {version} is not known: the tables have {releases[0]} to {releases[-1]}"
        )
    return nearest(version, list(releases))
