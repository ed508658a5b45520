"""What the commands that read an input share: FILE... or `-- CMD...`, and the facts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from dsbridge.diagnostics import Code, InputError, Severity
from dsbridge.formats.yaml import plain_scalar
from dsbridge.provenance import Source

BAD_FACT = Code("IN030", "bad-fact", Severity.ERROR, "A fact or version on the command line cannot be used.")
NO_INPUT = Code("IN031", "no-input", Severity.ERROR, "Neither files nor a command are given.")
CODES = (BAD_FACT, NO_INPUT)

if TYPE_CHECKING:
    from dsbridge.reading import Files

F = TypeVar("F", bound=Callable[..., Any])
_COMMAND = "dsbridge.command"


class Given(NamedTuple):
    """The input of a command line, and the facts that override what it says."""

    files: tuple[str, ...]
    command: tuple[str, ...]
    target: str
    facts: Mapping[str, Any]
    versions: Mapping[str, str]
    outside: bool = False

    def bounded(self) -> Files:
        """The user's files, and no others, unless --allow-outside says so."""
        from dsbridge.bounds import Bounds
        from dsbridge.reading import Files

        return Files(bounds=None if self.outside else Bounds(self.files, self.command))

    def opened(self) -> tuple[Files, tuple[str, ...]]:
        """The files to read from, and the names to start at: the code blocks of a Markdown file are files.

        Raises:
            InputError: a Markdown file without a block of YAML, JSON or Python.
        """
        files = self.bounded()
        if not any(name.endswith(".md") for name in self.files):
            return files, self.files
        from dsbridge.formats.markdown import files_of

        names: list[str] = []
        for name in self.files:
            if not name.endswith(".md"):
                names.append(name)
                continue
            blocks = files_of(files.text(name), name)
            if not blocks:
                message = f"{name} has no code block of YAML, JSON or Python"
                hint = "Fence the config: ```yaml, and ``` below it."
                raise InputError([NO_INPUT(message, hint=hint, at=Source(name))])
            files.memory |= blocks
            names += blocks
        return files, tuple(names)


class InputCommand(click.Command):
    """A command whose words after `--` are a launch command: they are kept apart, not parsed."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--")
            ctx.meta[_COMMAND] = tuple(args[at + 1 :])
            args = args[:at]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return ["[OPTIONS] FILE... | -- COMMAND..."]


_SOURCE = click.option(
    "--from", "source", default="", help="The framework that the input belongs to; else it is recognised."
)
outside_option = click.option(
    "--allow-outside", is_flag=True, help="Read also what the input names outside of its folder."
)
_FILES = click.argument("files", nargs=-1, type=click.Path())
_TARGET = click.option("--target", "-t", default="", help="The framework, where the input leaves it open.")
_FACTS = (
    click.option("--world-size", type=click.IntRange(1), help="Number of ranks."),
    click.option("--gpu", help="A GPU's name: which data types it has."),
    click.option("--bf16/--no-bf16", "bf16", default=None, help="The GPU has bf16 (assumed) or not."),
    click.option("--model", help="A config.json, its folder, or a catalogue name: hidden size and the like."),
    click.option("--num-training-steps", type=click.IntRange(1), help="Optimizer steps of the run."),
    click.option("--fact", "facts", multiple=True, metavar="NAME=VALUE", help="Any other fact."),
    click.option("--versions", default="", help="As deepspeed=0.18.4,accelerate=1.11.0"),
)


def input_options(function: F) -> F:
    """FILE..., the facts and the versions: the options of the contract, in its order."""
    for option in reversed((_FILES, _TARGET, *_FACTS)):
        function = option(function)
    return function


def source_options(function: F) -> F:
    """The same for commands that read a spec: `--from` in place of `--target`."""
    for option in reversed((_FILES, *_FACTS, _SOURCE, outside_option)):
        function = option(function)
    return function


def given(ctx: click.Context, options: Mapping[str, Any], *, needed: bool = True) -> Given:
    """What the options of `input_options` say. needed: without files and command there is nothing to do.

    Raises:
        InputError: no input, or a fact that cannot be used.
    """
    command = ctx.meta.get(_COMMAND, ())
    files = tuple(options["files"])
    if not command and _COMMAND in ctx.meta:
        from dsbridge.inputs import words_of

        words_of(command)  # says that there is no program
    if needed and not files and not command:
        hint = "As in: dsbridge explain train.yaml, or dsbridge explain -- torchrun ... train.py"
        raise InputError([NO_INPUT("give files, or a launch command after `--`", hint=hint)])
    facts: dict[str, Any] = dict(_pair("--fact", text, _value) for text in options["facts"])
    if options["world_size"]:
        facts["world_size"] = options["world_size"]
    if options["num_training_steps"]:
        facts["num_training_steps"] = options["num_training_steps"]
    facts |= _abilities(options["gpu"], options["bf16"])
    if options["model"]:
        facts |= model_facts(options["model"])
    words = [word for word in options["versions"].split(",") if word]
    versions = dict(_pair("--versions", word, str) for word in words)
    outside = bool(options.get("allow_outside"))
    return Given(files, command, options.get("target", ""), facts, versions, outside)


def command_of(ctx: click.Context, name: str) -> tuple[str, ...]:
    """The launch command after `--`, of a command that takes nothing else.

    Raises:
        InputError: there is none.
    """
    command: tuple[str, ...] = ctx.meta.get(_COMMAND, ())
    if not command:
        hint = f"As in: dsbridge {name} -- torchrun --nproc_per_node 2 train.py"
        raise InputError([NO_INPUT("give a launch command after `--`", hint=hint)])
    return command


def _value(text: str) -> Any:
    return plain_scalar(text)


def _pair(option: str, text: str, read: Callable[[str], Any]) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name or (option == "--versions" and not value[:1].isdigit()):
        example = "deepspeed=0.18.4" if option == "--versions" else "hidden_size=4096"
        raise InputError([BAD_FACT(f"{option} {text}: not NAME=VALUE", hint=f"As in {option} {example}")])
    return name, read(value)


# Of GPUs that the catalogue does not have. NVIDIA's data sheets: bf16 came with Ampere (compute capability
# 8.0), fp16 arithmetic before.
_WITHOUT_BF16 = ("v100", "t4", "p100", "p40", "gtx", "1080", "2080", "titan", "rtx6000-24", "rtx8000")


def _abilities(gpu: str | None, bf16: bool | None) -> dict[str, Any]:
    if bf16 is not None:
        return {"bf16_supported": bf16}
    if gpu:
        from dsbridge.planner.hardware import has_bf16

        told = has_bf16(gpu)
        if told is not None:
            return {"bf16_supported": told}
        return {"bf16_supported": not any(name in gpu.lower() for name in _WITHOUT_BF16)}
    return {}


def model_facts(path: str) -> dict[str, Any]:
    """The model's config.json, of a file, a folder, or the catalogue, as the fact `model`."""
    from dsbridge.formats.document import read_text
    from dsbridge.formats.json import read_json
    from dsbridge.planner.catalogue import find

    file = Path(path)
    if not file.exists() and (entry := find(path)):
        return {"model": dict(entry[1].config)}
    if file.is_dir():
        file = file / "config.json"
    document = read_json(read_text(file), str(file))
    if not isinstance(document.value, dict):
        raise InputError([BAD_FACT(f"--model {path}: not a model's config.json")])
    return {"model": document.value}
