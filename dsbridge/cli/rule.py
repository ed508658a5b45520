"""`dsbridge rule CODE`."""

from __future__ import annotations

import difflib

import click

from dsbridge.cli.output import format_option, print_json
from dsbridge.cli.rulepage import all_layers, diagnostic_codes, rule_json, rule_text
from dsbridge.diagnostics import Code, InputError, Severity

UNKNOWN = Code("IN032", "unknown-code", Severity.ERROR, "No rule and no diagnostic has this code.")
CODES = (UNKNOWN,)


@click.command("rule")
@click.argument("code")
@format_option
def command(code: str, format_: str) -> None:
    """Tell all about a rule (what it does, when, the proof), a check (with its example) or a diagnostic.

    Exit code 0; 2 for a code that nobody has.
    """
    from dsbridge.checking.catalogue import all_checks
    from dsbridge.cli.checkpage import check_json, check_text
    from dsbridge.plugins import registry

    wanted = code.upper()
    for layer in all_layers(None):
        for rule in layer.rules:
            if rule.code == wanted:
                if format_ == "json":
                    print_json(rule_json(layer, rule))
                else:
                    click.echo("\n".join(rule_text(layer, rule)))
                return
    for check in all_checks(registry()):
        if check.code.code == wanted:
            if format_ == "json":
                print_json(check_json(check))
            else:
                click.echo("\n".join(check_text(check)))
            return
    known = diagnostic_codes()
    if wanted in known:
        found = known[wanted]
        row = {"code": found.code, "name": found.name, "severity": found.severity.value, "title": found.title}
        if format_ == "json":
            print_json(row)
        else:
            click.echo(f"{found.code} {found.name} ({found.severity.value})\n  {found.title}")
        return
    every = [*known, *(rule.code for layer in all_layers(None) for rule in layer.rules)]
    close = difflib.get_close_matches(wanted, every, n=3)
    hint = f"Did you mean {', '.join(close)}?" if close else "`dsbridge rules` lists the rules."
    raise InputError([UNKNOWN(f"no rule or diagnostic has the code {code}", hint=hint)])
