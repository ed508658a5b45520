"""`dsbridge schema`."""

from __future__ import annotations

import click

from dsbridge.cli.output import format_option, print_json
from dsbridge.spec.schema import spec_schema


@click.command("schema")
@format_option
def command(format_: str) -> None:
    """Print the JSON Schema of dsbridge.yaml, for editors and other tools.

    An editor with a YAML language server reads it from the first line of a spec:
    `# yaml-language-server: $schema=dsbridge.schema.json`.
    """
    print_json(spec_schema())  # the schema is JSON in either format
