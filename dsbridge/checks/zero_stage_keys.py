"""Keys of `zero_optimization` that the stage at hand never reads: written, kept, and without any effect."""

from __future__ import annotations

from collections.abc import Iterator

from dsbridge.deepspeed.zero_reads import default_of, stages_reading
from dsbridge.diagnostics import Code, Diagnostic, Fix, Severity
from dsbridge.subjects.contract import Check, Example, in_deepspeed
from dsbridge.subjects.subject import Subject
from dsbridge.subjects.zero import ZERO, Said, said, stage

NOT_READ = Code(
    "CK300", "zero-key-not-read", Severity.INFO, "The ZeRO stage at hand does not read a key that is set."
)


def _run(subject: Subject) -> Iterator[Diagnostic]:
    at = stage(subject)
    if at is None:
        return
    parallel = isinstance(subject.written("tensor_parallel"), dict)
    block = subject.written(ZERO)
    given = block.items() if isinstance(block, dict) else ()
    names = [name for name, value in given if _idle(name, value, at, subject.version)]
    idle = [
        found
        for name in names
        if not (parallel and "gather" in name)  # AutoTP gathers at any stage
        and (found := said(subject, f"{ZERO}.{name}")) is not None
    ]
    if not idle:
        return
    told = ", ".join(f"`{_name(found)}` ({_stages(_name(found), subject.version)})" for found in idle)
    they, them = ("they have", "them") if len(idle) > 1 else ("it has", "it")
    edits = tuple(edit for found in idle for edit in found.edits)
    yield NOT_READ(
        f"ZeRO stage {at} of DeepSpeed {subject.version} never reads {told}: {they} no effect",
        hint=f"Remove {them}, or set the stage that was meant.",
        key=idle[0].key,
        at=idle[0].at,
        fix=Fix(f"remove what stage {at} does not read", edits) if edits else None,
    )


def _idle(key: object, value: object, at: int, version: str) -> bool:
    """A plain value other than the default, of a key that other stages read and this one does not."""
    if not isinstance(key, str) or value is None or value is False or isinstance(value, dict):
        return False  # blocks have checks of their own
    name = _known_as(key)
    if name in ("offload_param", "offload_optimizer", "stage") or value in ("auto", default_of(name)):
        return False
    read = stages_reading(name, version)
    return read is not None and at not in read


def _name(found: Said) -> str:
    return _known_as(found.path.removeprefix(f"{ZERO}."))


def _known_as(name: str) -> str:
    """The key as configs have it: the engine's own name is taken too."""
    return f"stage3_{name}" if default_of(f"stage3_{name}") is not None else name


def _stages(name: str, version: str) -> str:
    read = stages_reading(name, version) or ()
    return f"stage {read[0]} does" if len(read) == 1 else f"stages {', '.join(map(str, read))} do"


_DS = """{"zero_optimization": {"stage": %d, "stage3_max_live_parameters": 5e8},
 "bf16": {"enabled": true}, "train_micro_batch_size_per_gpu": 1}"""

CHECKS = (
    Check(
        code=NOT_READ,
        run=_run,
        why="Who changes the keys to save memory sees no difference. The table comes from "
        "runs of the real engine at every stage, in which each read of a field was noted.",
        hint="Remove the keys, or set the stage that they belong to.",
        fires=Example({"ds.json": _DS % 2}),
        holds=Example({"ds.json": _DS % 3}),
        evidence=(
            in_deepspeed("runtime/engine.py", "2765", "max_live_parameters=self.zero_max_live_parameters(),"),
        ),
        pains=(35,),
    ),
)
