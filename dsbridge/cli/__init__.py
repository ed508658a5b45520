"""The command line: arguments in, text out, no decisions. One module a command, imported when called."""

from __future__ import annotations

import os
import sys
from importlib import import_module

import click

from dsbridge.diagnostics import InputError
from dsbridge.version import __version__

COMMANDS = {
    "check": "Find mistakes in training configs before a GPU hour is spent.",
    "diff": "Say whether two inputs train the same, and what each difference means.",
    "explain": "Predict what deepspeed.initialize receives, who set each value, and why.",
    "migrate": "Carry a set-up over to another framework, and say what became of every key.",
    "observe": "Run a launch command as it is, and say what deepspeed.initialize got.",
    "plan": "Say which layout fits, what it costs, and why.",
    "launch": "Print, write or run a launch: torchrun, accelerate, Slurm, Kubernetes and others.",
    "parse": "Make a spec of a framework's own files, or of a launch command (alias: import).",
    "render": "Render a spec into files that a framework trains with.",
    "rule": "Tell all about one rule or diagnostic code.",
    "rules": "List what the frameworks do to a DeepSpeed config.",
    "schema": "Print the JSON Schema of dsbridge.yaml.",
    "verify": "Run the installed framework to deepspeed.initialize and compare with the prediction.",
    "targets": "List the frameworks that can be rendered, and who registered them.",
}


ALIASES = {"import": "parse"}


class LazyGroup(click.Group):
    """Commands by name; the help of one never imports another."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        cmd_name = ALIASES.get(cmd_name, cmd_name)
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"dsbridge.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name]) for name in self.list_commands(ctx)])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="dsbridge")
def cli() -> None:
    """One parallelism spec for LLaMA-Factory, XTuner, Accelerate, the HF Trainer and DeepSpeed."""


def main() -> None:
    """Run, and turn every failure into one message and an exit code of the contract."""
    try:
        code = cli.main(standalone_mode=False, prog_name="dsbridge")
    except InputError as error:
        from dsbridge.cli.output import tell

        tell(error.diagnostics)
        code = 2
    except click.ClickException as error:
        error.show()
        code = 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        code = 130
    except Exception as error:
        if os.environ.get("DSBRIDGE_DEBUG"):
            raise
        kind = type(error).__name__
        click.echo(f"internal error: {kind}: {error}", err=True)
        click.echo("This is a bug in dsbridge or a plugin; DSBRIDGE_DEBUG=1 shows where.", err=True)
        code = 2
    sys.exit(code if isinstance(code, int) else 0)
