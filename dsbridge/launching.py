"""The launch pass: a spec, or the user's own files, to a launch of one kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dsbridge.artifacts import Artifacts
from dsbridge.diagnostics import UNSUPPORTED, Code, Diagnostic, InputError, Severity, has_errors
from dsbridge.fields import unsupported
from dsbridge.framework import Framework, Launch, RenderRequest
from dsbridge.inputs import read_input
from dsbridge.launch.start import Start, finish
from dsbridge.plugins import registry
from dsbridge.prediction import is_spec
from dsbridge.reading import Files
from dsbridge.rendering import framework_named, render
from dsbridge.spec.leaves import leaves
from dsbridge.spec.load import Loaded, load_file, load_mapping
from dsbridge.values import UNSET

REFUSED_KIND = Code(
    "LN020", "kind-refused", Severity.ERROR, "The kind of launch does not start the framework."
)
NO_START = Code("LN021", "cannot-start", Severity.ERROR, "The plugin cannot launch files of the framework.")
NOT_OF_LAUNCH = Code(
    "LN022", "not-of-the-launch", Severity.ERROR, "The files say this, and a launch does not."
)
NO_SCRIPT = Code("LN024", "no-script", Severity.ERROR, "The files name no program to start.")
NEEDS_TARGET = Code("LN023", "launch-needs-target", Severity.ERROR, "A spec is launched for one framework.")
CODES = (REFUSED_KIND, NO_START, NOT_OF_LAUNCH, NEEDS_TARGET, NO_SCRIPT)
USUAL = {"accelerate": "accelerate", "llamafactory": "llamafactory", "xtuner": "xtuner"}


class Prepared(NamedTuple):
    """What to write, and the words that start it in the folder where the files lie."""

    kind: str
    artifacts: Artifacts
    command: tuple[str, ...]
    here: bool = False  # its words name files from the folder that it was made in


def prepare(given: Sequence[str], target: str, kind: str, sets: Sequence[str]) -> Prepared:
    """A launch of what is given: one dsbridge.yaml, or files of a framework.

    Raises:
        InputError: the input cannot be read, or the kind does not start the framework.
    """
    files = Files()
    sets = [*sets, *([f"launch.kind={kind}"] if kind else [])]
    if len(given) == 1 and is_spec(files, given[0]):
        made = _of_spec(given[0], target, sets, bool(kind))
    else:
        made = _of_files(files, given, target, sets, bool(kind))
    return made


def _of_spec(name: str, target: str, sets: Sequence[str], asked: bool) -> Prepared:
    if not target:
        names = ", ".join(sorted(registry().frameworks))
        message = f"{name} is a spec: it is launched as rendered for one target"
        raise InputError([NEEDS_TARGET(message, hint=f"Say --target; one of {names}.")])
    from pathlib import Path

    framework = framework_named(target)
    loaded = load_file(Path(name), sets)
    kind = _kind(framework, loaded, asked)
    artifacts = render(loaded, target)
    told = [d for d in artifacts.diagnostics if d.code == UNSUPPORTED.code and d.key == "launch.kind"]
    if asked and told and not artifacts.refused:  # a kind that the target has, but not for this spec
        error = REFUSED_KIND(told[0].message, hint=told[0].hint, key="launch.kind")
        others = tuple(d for d in artifacts.diagnostics if d is not told[0])
        artifacts = artifacts._replace(files={}, launch=Launch(), diagnostics=(error, *others))
    return Prepared(kind, artifacts, start_words(kind, artifacts))


def _of_files(files: Files, given: Sequence[str], target: str, sets: Sequence[str], asked: bool) -> Prepared:
    """The files stay as they are: what the spec says beyond cluster and launch has no place there."""
    found = read_input(registry(), files, given, (), target)
    framework = found.framework
    loaded = load_mapping({"version": 1}, sets)
    kind = _kind(framework, loaded, asked)
    if framework.program is None:
        raise InputError(
            [NO_START(f"{framework.title}: its plugin renders launches, but makes none of files")]
        )
    values = leaves(loaded.spec)
    request = RenderRequest(framework.name, loaded.spec, values)
    start: Start = framework.program(request, found.setup)
    _has_program(start, given)
    carried = {name: files.text(name) for name in given} if kind == "kubernetes" else {}
    started = finish(request, start, carried)
    wrong = [
        NOT_OF_LAUNCH(
            f"`{path}`: files are launched as they are; --set takes cluster and launch",
            hint="Change the files, or launch a dsbridge.yaml.",
            key=path,
        )
        for path in values
        if not path.startswith(("cluster.", "launch.")) and path != "version"
    ]
    script = [unsupported("launch.script", loaded.spec.launch.script, "the files name the script")]
    told = script if loaded.spec.launch.script is not UNSET else []
    diagnostics: tuple[Diagnostic, ...] = (*wrong, *told, *started.diagnostics)
    refused = has_errors(diagnostics)
    artifacts = Artifacts(
        framework.name,
        {} if refused else started.files,
        Launch() if refused else started.launch,
        diagnostics,
    )
    return Prepared(kind, artifacts, start_words(kind, artifacts), here=True)


def _has_program(start: Start, given: Sequence[str]) -> None:
    """A config that comes alone is read with a stand-in for the script that nobody named."""
    last = str(start.argv[-1]) if start.argv else ""
    config = last in given and last.endswith(".json")  # a script names it, not a launch
    if last == "YOUR_SCRIPT" or config:
        words = ["train.py", "--target", "deepspeed"] if config else [*given, "train.py"]
        hint = f"Give your script: dsbridge launch {' '.join(words)}"
        raise InputError([NO_SCRIPT(f"{', '.join(given)}: no script to start is named", hint=hint)])


def _kind(framework: Framework, loaded: Loaded, asked: bool) -> str:
    """The kind of the launch. One that is asked for and cannot be is an error, where render only tells."""
    kind = loaded.spec.launch.kind
    if kind is UNSET:
        return USUAL.get(framework.name, "torchrun")
    starts = framework.starts() if framework.starts is not None else {}
    reason = starts.get(str(kind), "")
    if asked and reason:
        able = ", ".join(name for name, why in starts.items() if not why)
        message = f"{kind} does not start {framework.title}: {reason}"
        raise InputError([REFUSED_KIND(message, hint=f"It can be started by {able}.", key="launch.kind")])
    return USUAL.get(framework.name, "torchrun") if reason else str(kind)


def start_words(kind: str, artifacts: Artifacts) -> tuple[str, ...]:
    """What a user types in the folder of the files."""
    if artifacts.refused:
        return ()
    if kind == "slurm":
        from dsbridge.launch.slurm import NAME

        return ("sbatch", NAME)
    if kind == "kubernetes":
        names = ("configmap.yaml", "trainjob.yaml", "pytorchjob.yaml")
        return (
            "kubectl",
            "apply",
            *(word for name in names if name in artifacts.files for word in ("-f", name)),
        )
    return ("bash", "launch.sh")
