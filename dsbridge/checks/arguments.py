"""Keys and flags that a framework does not take as they stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from dsbridge.closeness import changes
from dsbridge.diagnostics import Code, Diagnostic, Edit, Fix, Severity
from dsbridge.subjects.arguments import ArgumentFinding, argument_findings
from dsbridge.subjects.contract import Check, Example
from dsbridge.subjects.subject import Subject
from dsbridge.trees import lookup
from dsbridge.values import UNSET


class Kind(NamedTuple):
    """One kind of finding. fires, holds: a line of a LLaMA-Factory YAML."""

    kind: str
    code: Code
    why: str
    hint: str
    fires: str
    holds: str


def _code(number: str, name: str, title: str, severity: Severity = Severity.ERROR) -> Code:
    return Code(f"CK{number}", name, severity, title)


KINDS = (
    Kind(
        "unknown",
        _code("111", "unknown-argument", "The framework has no such argument."),
        "Most frameworks stop at it; where one ignores it, what it was to do is not done.",
        "Remove it, or look for the argument that does what you want.",
        "trainer_backend: deepspeed",
        "ddp_timeout: 1800",
    ),
    Kind(
        "misspelt",
        _code("112", "misspelt-argument", "The framework has no such argument, and one that is nearly so."),
        "The run stops while it reads its arguments, or trains with the default.",
        "Write the argument as the framework has it; `check --fix` does.",
        "gradient_acumulation_steps: 4",
        "gradient_accumulation_steps: 4",
    ),
    Kind(
        "misplaced",
        _code("113", "misplaced-argument", "The argument stands in the wrong block."),
        "The framework looks for it in one place only.",
        "Move it to where the framework looks for it.",
        "",
        "",
    ),
    Kind(
        "removed",
        _code("114", "removed-argument", "This version no longer has the argument."),
        "The run stops while it reads its arguments.",
        "Write what has taken its place, or train with a version that has it.",
        "evaluation_strategy: 'no'",
        "eval_strategy: 'no'",
    ),
    Kind(
        "deprecated",
        _code("115", "deprecated-argument", "The argument is on its way out.", Severity.INFO),
        "It works in this version, and a coming one stops at it.",
        "Write what has taken its place.",
        "",
        "",
    ),
    Kind(
        "not-yet",
        _code("116", "argument-not-yet", "Only a newer version has the argument."),
        "The run stops while it reads its arguments.",
        "Remove it, or train with a version that has it.",
        "",
        "",
    ),
)


def _findings(subject: Subject, kind: Kind) -> Iterator[Diagnostic]:
    every = tuple(argument_findings(subject))
    for found in every:
        if found.kind == kind.kind and _sure(found, subject):
            block = f"{found.written.block}." if found.written.block else ""
            severity = _severity(found, kind, subject)
            if found.under and _in_a_mode(every):
                severity = severity if subject.launchers else Severity.INFO
            else:
                found = found._replace(under="")
            yield kind.code(
                _message(found, subject),
                hint=_hint(found, subject),
                key=f"{block}{found.written.name}",
                at=found.written.at,
                severity=severity,
                fix=_fix(found, subject),
            )


def _severity(found: ArgumentFinding, kind: Kind, subject: Subject) -> Severity | None:
    """What other releases take is no error while nobody says which one is used."""
    if kind.code.severity is Severity.INFO:
        return None
    other = found.kind in ("removed", "not-yet") and found.row and subject.is_guess(found.row.package)
    return None if found.refused and not other else Severity.WARNING


def _sure(found: ArgumentFinding, subject: Subject) -> bool:
    """Arguments of a script that nobody shows may be of a class of its own: as flags, or in a file."""
    variable, _, on = found.under.partition("=")
    if variable and subject.environ.get(variable) == on:
        return False
    theirs = found.written.surface in ("flags", "TrainingArguments") and found.framework.name == "trainer"
    return found.kind in ("removed", "not-yet", "deprecated") or not (theirs and subject.no_script)


def _in_a_mode(every: Sequence[ArgumentFinding]) -> bool:
    """Whether the file is written for a mode that a variable switches on: several names say so, and
    everything else in it is taken."""
    return sum(bool(one.under) for one in every) > 1 and all(one.under for one in every if one.refused)


def _message(found: ArgumentFinding, subject: Subject) -> str:
    name, row = found.written.name, found.row
    have = subject.versions.get(found.framework.package, "")
    title = f"{found.framework.title} {have}".strip()
    does = f"{title} stops at it" if found.refused else f"{title} ignores it"
    does += f", unless {found.under} is set" if found.under else ""
    where = f"`{found.written.block}` has no key" if found.written.block else "there is no argument"
    if row is None or found.kind == "misplaced":
        return f"{where} `{name}`; {does}"
    have = f"{row.package} {subject.versions.get(row.package, '')}".strip()
    says = f": {row.deprecated.strip()}" if row.deprecated.strip() not in ("", "deprecated") else ""
    if found.kind == "deprecated":
        return f"`{name}` is deprecated in {have}{says}"
    if found.kind == "not-yet":
        return f"`{name}` comes with {row.package} {row.since}, and {have} takes part; {does}"
    since = f" since {row.package} {row.until}" if row.until else ""
    return f"`{name}` is gone{since}; {does}{says}"


def _hint(found: ArgumentFinding, subject: Subject) -> str:
    package = found.framework.package
    newer = " A newer release may have it: --versions says yours." if subject.is_guess(package) else ""
    known = found.kind == "unknown" and (found.instead or found.under)  # what it is
    unknown = found.kind in ("unknown", "misspelt", "misplaced") and not known
    return _what_to_do(found) + (newer if unknown else "")


def _what_to_do(found: ArgumentFinding) -> str:
    if found.kind == "not-yet" and found.row:
        return f"Install {found.row.package} {found.row.since} or later, or remove it."
    if found.kind == "unknown" and found.instead:
        return f"`{found.instead}` is the argument for that."
    if found.under:
        return f"Start it with {found.under}, or remove it."
    inside = _inside(found)
    if inside:
        return f"Write `{inside}` in `{found.instead}`."
    return f"Write `{found.instead}`." if found.instead else "Remove it."


def _inside(found: ArgumentFinding) -> str:
    """The key of a block that took the place of single arguments: `fsdp_min_num_params` in `fsdp_config`."""
    family = found.instead.removesuffix("config")
    has_family = found.instead.endswith("_config") and found.written.name.startswith(family)
    return found.written.name.removeprefix(family) if has_family else ""


def _fix(found: ArgumentFinding, subject: Subject) -> Fix | None:
    """A new name in the same block of a file."""
    written = found.written
    if not written.file or not found.instead or found.kind not in ("misspelt", "removed") or _inside(found):
        return None
    # more letters may be another argument, of a release that nobody has seen
    if found.kind == "misspelt" and changes(written.name, found.instead) > 2:
        return None
    document = subject.file_value(written.file)
    taken = (*written.path[:-1], found.instead)
    if document is None or subject.unit.guide or lookup(document.value, ".".join(taken)) is not UNSET:
        return None
    return Fix(f"rename to `{found.instead}`", (Edit(written.file, written.path, "rename", found.instead),))


def _run(kind: Kind) -> Callable[[Subject], Iterator[Diagnostic]]:
    return lambda subject: _findings(subject, kind)


_YAML = """model_name_or_path: model
stage: sft
do_train: true
finetuning_type: full
dataset: alpaca_en_demo
template: llama3
output_dir: out
%s
"""
_OLD = {"transformers": "4.52.4", "llamafactory": "0.9.3", "accelerate": "1.7.0", "deepspeed": "0.16.9"}
_SCRIPT = """from transformers import Trainer, TrainingArguments

args = TrainingArguments(output_dir="out", %s)
Trainer(model, args, train_dataset=data).train()
"""
_ACCELERATE = "distributed_type: DEEPSPEED\nmixed_precision: bf16\nnum_processes: 2\n%s\n"
# of those that LLaMA-Factory's YAML does not show
_EXAMPLES = {
    "misplaced": (
        Example(
            {"accelerate.yaml": _ACCELERATE % "zero_stage: 2\ndeepspeed_config: {zero3_init_flag: false}"}
        ),
        Example({"accelerate.yaml": _ACCELERATE % "deepspeed_config: {zero_stage: 2}"}),
    ),
    "deprecated": (
        Example({"train.py": _SCRIPT % "no_cuda=True"}, versions={"transformers": "4.51.3"}),
        Example({"train.py": _SCRIPT % "use_cpu=True"}, versions={"transformers": "4.51.3"}),
    ),
    "not-yet": (
        Example({"train.yaml": _YAML % "use_kt: true"}, versions=_OLD),
        Example({"train.yaml": _YAML % "use_kt: true"}),
    ),
}
# refusals that name the same keys, without their places
_RULES = ("ACC107", "ACC108", "LF134", "LF135", "LF306", "LF307", "TR103", "TR126", "TR127", "XT100")
CHECKS = tuple(
    Check(
        code=kind.code,
        run=_run(kind),
        why=kind.why,
        hint=kind.hint,
        fires=_EXAMPLES.get(kind.kind, (Example({"train.yaml": _YAML % kind.fires}),))[0],
        holds=_EXAMPLES.get(kind.kind, (None, Example({"train.yaml": _YAML % kind.holds})))[1],
        explains=() if kind.kind == "deprecated" else _RULES,
    )
    for kind in KINDS
)
