"""Keys of a DeepSpeed config that its DeepSpeed does not take as they stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from dsbridge.deepspeed.keys import KeyFinding
from dsbridge.deepspeed.known import releases_with
from dsbridge.deepspeed.meanings import RESULT, meaning_of
from dsbridge.diagnostics import Code, Diagnostic, Edit, Fix, Severity
from dsbridge.subjects.contract import Check, Example
from dsbridge.subjects.key_words import advice, told
from dsbridge.subjects.left_open import in_template
from dsbridge.subjects.subject import Subject
from dsbridge.trees import lookup
from dsbridge.values import UNSET


class Kind(NamedTuple):
    """One kind of finding about a key. fires, holds: a line of a config."""

    kind: str
    code: Code
    why: str
    hint: str
    fires: str
    holds: str
    pains: tuple[int, ...] = ()


TEMPLATE = Code("CK110", "template", Severity.INFO, "The file is a template that a script fills.")


def _code(number: str, name: str, title: str, severity: Severity = Severity.ERROR) -> Code:
    return Code(f"CK{number}", name, severity, title)


KINDS = (
    Kind(
        "unknown",
        _code("101", "unknown-key", "DeepSpeed has no such key."),
        "At the top level, and in the blocks that it reads key by key, DeepSpeed ignores an unknown key in "
        "silence; in the others it stops.",
        "Remove it, or look for the key that does what you want: `dsbridge schema --deepspeed VERSION`.",
        '"zero_optimization": {"stage": 2, "shard_everything": true}',
        '"_comment": "DeepSpeed ignores it, and so do we", "zero_optimization": {"stage": 2}',
        (16,),
    ),
    Kind(
        "misspelt",
        _code("102", "misspelt-key", "DeepSpeed has no such key, and one that is nearly so."),
        "A misspelt key at the top level is ignored: the run trains with the default, and nobody says so.",
        "Write the key as DeepSpeed has it; `check --fix` does.",
        '"zero_optimisation": {"stage": 2}',
        '"zero_optimization": {"stage": 2}',
        (16,),
    ),
    Kind(
        "misplaced",
        _code("103", "misplaced-key", "The key stands in the wrong place."),
        "DeepSpeed looks for each key in one block. Elsewhere it is ignored, or stops the run.",
        "Move it to the block that has it.",
        '"zero_optimization": {"stage": 3, "aio": {"queue_depth": 32}}',
        '"zero_optimization": {"stage": 3}, "aio": {"queue_depth": 32}',
        (16,),
    ),
    Kind(
        "removed",
        _code("104", "removed-key", "This DeepSpeed no longer has the key."),
        "Some releases stop at a key they have removed, others ignore it: the feature is gone either way.",
        "Remove it, or train with a release that has it.",
        '"zero_optimization": {"stage": 1}, "progressive_layer_drop": {"enabled": true}',
        '"zero_optimization": {"stage": 1}',
    ),
    Kind(
        "deprecated",
        _code("105", "deprecated-key", "The key is on its way out.", Severity.WARNING),
        "It still works in this release; a coming one stops at it or ignores it.",
        "Write what has taken its place.",
        '"zero_optimization": {"stage": 2, "cpu_offload": true}',
        '"zero_optimization": {"stage": 2, "offload_optimizer": {"device": "cpu"}}',
    ),
    Kind(
        "quoted",
        _code("107", "quoted-value", "A number or boolean stands in quotation marks."),
        "It is a text: some readers make the number of it, some compare it and find it different, some stop.",
        "Take the quotation marks away; `check --fix` does.",
        '"gradient_clipping": "1.0"',
        '"gradient_clipping": 1.0',
    ),
    Kind(
        "wrong-type",
        _code("108", "wrong-type", "The value is of a kind that the key does not take."),
        "DeepSpeed stops while it reads the config, or later with an error that does not name the key.",
        "Write a value of the kind it takes.",
        '"zero_optimization": {"stage": 2, "overlap_comm": 7}',
        '"zero_optimization": {"stage": 2, "overlap_comm": true}',
        (15,),
    ),
    Kind(
        "comment",
        _code("109", "comment-in-block", "A comment stands where DeepSpeed takes no other key."),
        "The block is read by a strict class, which stops at any key that it does not have.",
        'Put the comment at the top level, where "_comment" is let through.',
        '"zero_optimization": {"stage": 2, "_comment": "two"}',
        '"_comment": "two", "zero_optimization": {"stage": 2}',
    ),
)


def _findings(subject: Subject, kind: Kind) -> Iterator[Diagnostic]:
    ds = subject.ds
    if ds is None:
        return
    later = in_template(subject.key_findings, ds.value) if subject.unit.lone else {}
    for found in map(_settled, subject.key_findings):
        key = ".".join(found.path)
        if found.kind == kind.kind and key not in later and subject.written(key) != "auto":
            yield kind.code(
                told(found, subject.written(key), subject.version),
                hint=advice(found, ds.value, subject.version),
                key=key,
                at=ds.at(found.path),
                severity=_severity(found, subject),
                fix=_fix(found, subject),
            )


def _template(subject: Subject) -> Iterator[Diagnostic]:
    """A file that nobody trains with as it stands: a script writes into it first."""
    ds = subject.ds
    later = in_template(subject.key_findings, ds.value) if ds and subject.unit.lone else {}
    if ds is None or not later:
        return
    first = next(iter(later))
    words = ", ".join(dict.fromkeys(later.values()))
    yield TEMPLATE(
        f"a template: a script is to write a number or boolean for {words}; nothing that depends on them is "
        "checked",
        hint="Check the file that the script makes of it.",
        key=first,
        at=ds.at(tuple(first.split("."))),
    )


def _settled(found: KeyFinding) -> KeyFinding:
    """Another name for a key of the same block is no wrong place."""
    beside = found.instead.rpartition(".")[0] == ".".join(found.path[:-1])
    return found._replace(kind="misspelt") if found.kind == "misplaced" and beside else found


def _severity(found: KeyFinding, subject: Subject) -> Severity:
    """An error if the run stops, or trains something else than was written; a block is never nothing. What
    other releases take is no error while nobody says which one is used."""
    if found.refused:
        of_its_name = found.kind in ("unknown", "misspelt", "misplaced", "removed")
        elsewhere = of_its_name and releases_with(".".join(found.path[:-1]), found.path[-1])
        return Severity.WARNING if elsewhere and subject.is_guess("deepspeed") else Severity.ERROR
    config = subject.ds.value if subject.ds else {}
    lost = isinstance(lookup(config, ".".join(found.path)), dict) or meaning_of(found.instead).kind == RESULT
    return Severity.ERROR if found.kind in ("misspelt", "misplaced") and lost else Severity.WARNING


def _fix(found: KeyFinding, subject: Subject) -> Fix | None:
    """Where one edit puts it right without a doubt."""
    ds = subject.ds
    if ds is None or ds.document is None or subject.unit.guide:
        return None
    file, block = ds.file, ".".join(found.path[:-1])
    if found.kind == "quoted" and found.instead:
        value: Any = _plain(found.instead)
        return Fix(f"write {found.instead}", (Edit(file, found.path, "set", value),))
    if not found.instead or lookup(ds.value, found.instead) is not UNSET:
        return None
    into, _, name = found.instead.rpartition(".")
    if found.kind == "misspelt" and into == block:
        return Fix(f"rename to `{name}`", (Edit(file, found.path, "rename", name),))
    if found.kind == "misplaced" and name == found.path[-1] and isinstance(_block(ds.value, into), dict):
        return Fix(
            f"move to `{found.instead}`", (Edit(file, found.path, "move", tuple(found.instead.split("."))),)
        )
    return None


def _block(value: Any, path: str) -> Any:
    return lookup(value, path) if path else value


def _plain(text: str) -> Any:
    import json

    return json.loads(text)


def _run(kind: Kind) -> Callable[[Subject], Iterator[Diagnostic]]:
    return lambda subject: _findings(subject, kind)


_WHOLE = '{\n  "train_micro_batch_size_per_gpu": 1,\n  %s\n}\n'
CHECKS = (
    *(
        Check(
            code=kind.code,
            run=_run(kind),
            why=kind.why,
            hint=kind.hint,
            fires=Example({"ds_config.json": _WHOLE % kind.fires}),
            holds=Example({"ds_config.json": _WHOLE % kind.holds}),
            pains=kind.pains,
        )
        for kind in KINDS
    ),
    Check(
        code=TEMPLATE,
        run=_template,
        why="What a script puts in decides whether the config is right.",
        hint="Check the file that the script makes of it.",
        fires=Example({"ds_config.json": _WHOLE % '"zero_optimization": {\n    "stage": ZERO_STAGE\n  }'}),
        holds=Example({"ds_config.json": _WHOLE % '"zero_optimization": {"stage": 1}'}),
    ),
)
