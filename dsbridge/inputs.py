"""From FILE arguments or a launch command to one set-up and the framework that reads it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any, NamedTuple

from dsbridge.diagnostics import Code, InputError, Severity, has_errors
from dsbridge.formats.script import read_script
from dsbridge.framework import Framework
from dsbridge.plugins import Registry
from dsbridge.provenance import together
from dsbridge.reading import COMMAND, Files, Launcher, Reader, Reading, Setup, Words
from dsbridge.rules import NOTHING

if TYPE_CHECKING:  # explaining needs none of it
    from dsbridge.spec import ParallelSpec

NO_COMMAND = Code("IN020", "no-program", Severity.ERROR, "The launch command names no program.")
UNKNOWN_COMMAND = Code("IN021", "unknown-command", Severity.ERROR, "No plugin reads this command.")
UNKNOWN_INPUT = Code("IN022", "unknown-input", Severity.ERROR, "No framework recognises the input.")
TWO_INPUTS = Code("IN023", "two-inputs", Severity.ERROR, "Files and a command are given at once.")
CODES = (NO_COMMAND, UNKNOWN_COMMAND, UNKNOWN_INPUT, TWO_INPUTS)

_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=", re.ASCII)
MAX_LAUNCHERS = 4  # srun, env, accelerate launch, ...


class Input(NamedTuple):
    """What is to be resolved: the framework, its trees, where they were written, and derived facts.

    stated: facts that whoever asks gave; they override what was read. spec: what it was rendered from, if it
    was.
    """

    framework: Framework
    reader: Reader
    setup: Setup
    reading: Reading
    stated: Mapping[str, Any] = NOTHING
    spec: ParallelSpec | None = None


def words_of(command: Sequence[str]) -> tuple[dict[str, str], Words]:
    """The NAME=value words in front, and the rest. One single word is a whole command line."""
    items = list(command)
    if len(items) == 1 and any(letter.isspace() for letter in items[0]):
        import shlex

        try:
            items = shlex.split(items[0])
        except ValueError as error:
            raise InputError([NO_COMMAND(f"the command cannot be split into words: {error}")]) from None
    environ: dict[str, str] = {}
    start = 0
    if items[:1] == ["env"]:
        start = 1
    while start < len(items) and _ASSIGNMENT.match(items[start]):
        name, _, value = items[start].partition("=")
        environ[name] = value
        start += 1
    if start == len(items):
        hint = "Write it as in your shell: torchrun --nproc_per_node 8 train.py --deepspeed ds.json"
        raise InputError([NO_COMMAND("there is no program after `--`", hint=hint)])
    return environ, Words(tuple(items[start:]), start + 1)


def read_input(
    known: Registry,
    files: Files,
    given: Sequence[str] = (),
    command: Sequence[str] = (),
    target: str = "",
    facts: Mapping[str, Any] | None = None,
    versions: Mapping[str, str] | None = None,
) -> Input:
    """Read files or a command. What a command means may depend on the versions: a flag may be gone.

    Raises:
        InputError: nothing recognises it, or something in it cannot be read.
    """
    if given and command:
        hint = "Give the files, or the command after `--` that names them."
        raise InputError([TWO_INPUTS("files and a command are given at once", hint=hint)])
    stated = dict(facts or {})
    if command:
        environ, words = words_of(command)
        start = Setup(files, (), environ, words, facts=stated, versions=versions or {})
        found = _framework(known, _launched(known, start), target)
    else:
        start = Setup(files.near(given), tuple(given), facts=stated, versions=versions or {}, assumed=True)
        found = _from_files(known, start, target)
    return found._replace(stated=stated)


def _from_files(known: Registry, setup: Setup, target: str) -> Input:
    for name in setup.given:
        _check_file(setup.files, name)
    best: tuple[int, str, Reader, Any] | None = None
    for name, framework in _readable(known, target).items():
        assert framework.reader is not None
        reader = framework.reader()
        guess = reader.command_of(setup)
        if guess is None:
            continue
        sure = reader.recognises(setup)
        if best is None or sure > best[0]:
            best = (sure, name, reader, guess)
    if best is None:
        raise InputError([_unrecognised(setup.given, target)])
    sure, name, reader, guess = best
    setup = setup._replace(environ=dict(guess.environ), words=Words(tuple(guess.words)))
    if not (sure or target or reader.recognises(setup)):  # it could be read, but nothing in it is their own
        raise InputError([_unrecognised(setup.given, target)])
    return _framework(known, _launched(known, setup), target or name)


def _check_file(files: Files, name: str) -> None:
    """A file that cannot be read is said before anything else. What lies in files that it names is not
    our affair: the framework opens those, and the rules tell what it says of them."""
    if name.endswith(".json"):
        files.json(name, comments=True)  # DeepSpeed reads comments; who refuses them is for the rules
    elif name.endswith((".yaml", ".yml")):
        files.yaml(name)
    else:
        files.text(name)


def _unrecognised(given: Sequence[str], target: str) -> Any:
    what = f"`{target}`" if target else "any framework"
    return UNKNOWN_INPUT(
        f"{', '.join(given)}: not recognised as input of {what}",
        hint="Say the framework with --target or --from, or give the launch command itself after `--`.",
    )


def _readable(known: Registry, target: str) -> dict[str, Framework]:
    found = {n: f for n, f in sorted(known.frameworks.items()) if f.reader is not None}
    return {target: found[target]} if target in found else ({} if target else found)


def _launched(known: Registry, setup: Setup) -> tuple[Setup, str]:
    """Take launchers off the front until a program remains."""
    # plain python last: `python -m accelerate.commands.launch` is Accelerate's
    setup = setup._replace(whole=setup.words.items, given_environ=setup.environ)
    launchers = sorted(known.launchers(), key=lambda launcher: launcher.name == "python")
    framework = ""
    while len(setup.launchers) < MAX_LAUNCHERS:
        launcher = _matching(launchers, setup.words.items)
        if launcher is None:
            break
        found = launcher.read(setup)
        reading = found.reading
        setup = setup._replace(
            environ={**setup.environ, **found.environ},
            words=found.program,
            launchers=(*setup.launchers, launcher.name),
            trees={**setup.trees, **reading.trees},
            sources=together(setup.sources, reading.sources),
            facts={**setup.facts, **reading.facts},
        )
        framework = found.framework or framework
        if not found.program.items:
            break
    if not setup.launchers:
        words = " ".join(setup.words.items[:3])
        names = ", ".join(sorted(launcher.name for launcher in launchers))
        raise InputError(
            [UNKNOWN_COMMAND(f"`{words}` is not a launcher that can be read", hint=f"Read are: {names}.")]
        )
    return setup, framework


def _matching(launchers: Sequence[Launcher], words: Sequence[str]) -> Launcher | None:
    return next((launcher for launcher in launchers if launcher.matches(words)), None)


def _framework(known: Registry, launched: tuple[Setup, str], target: str) -> Input:
    """Choose the framework, and let it read."""
    setup, name = launched
    if target and name not in ("", target) and not setup.words.items:
        hint = f"Leave --from {target} out to hear what the launcher says."
        raise InputError([UNKNOWN_INPUT("the command starts no program that can be read", hint=hint)])
    candidates = _readable(known, target or name)
    scored = []
    for framework in candidates.values():
        assert framework.reader is not None
        reader = framework.reader()
        scored.append((reader.recognises(setup), framework, reader))
    scored.sort(key=lambda entry: -entry[0])
    if not scored or (scored[0][0] == 0 and not (target or name)):
        _check_script(setup)
        program = " ".join(setup.words.items[:2]) or "the command"
        hint = "Say the framework with --target accelerate, trainer or deepspeed."
        raise InputError([UNKNOWN_INPUT(f"{program}: no framework recognises it", hint=hint)])
    _, framework, reader = scored[0]
    setup = setup._replace(versions={**reader.versions, **installed(reader.versions), **setup.versions})
    reading = reader.read(setup)
    # a reader may take a file that it cannot read for a broken one
    beyond = tuple(setup.files.left_out.values())
    if has_errors(beyond):
        raise InputError(beyond)
    merged = Reading(
        {**setup.trees, **reading.trees},
        together(setup.sources, reading.sources),
        {**setup.facts, **reading.facts},
        (*reading.diagnostics, *beyond),
        reading.program,
    )
    return Input(framework, reader, setup, merged)


def installed(wanted: Iterable[str]) -> dict[str, str]:
    """The versions of those packages that are installed here."""
    found = {package: _version(package) for package in wanted}
    return {package: version for package, version in found.items() if version}


@cache
def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _check_script(setup: Setup) -> None:
    """Nobody knows a script that is not there, is a folder, or is no Python: then that is what to say."""
    program = setup.words.items[0] if setup.words.items else ""
    named = bool(program) and not program.startswith("-")
    if program.endswith(".py") or (named and setup.files.is_folder(program)):
        read_script(setup.files.text(program), program, setup.environ)


def place_text(source: Any) -> str:
    """`train.py:12`, or `word 7 of the command`."""
    if source is None:
        return ""
    if source.file == COMMAND:
        return f"word {source.column} of the command"
    return f"{source.file}:{source.line}" if source.line else str(source.file)
