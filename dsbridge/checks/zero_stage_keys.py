"""Keys of `zero_optimization` that the stage at hand never reads: written, kept, and without any effect."""

from __future__ import annotations

from collections.abc import Iterator

from dsbridge.deepspeed.zero_reads import default_of, stages_reading
from dsbridge.diagnostics import Code, Diagnostic, Fix, Severity
from dsbridge.rules import Evidence
from dsbridge.subjects.contract import Check, Example
from dsbridge.subjects.subject import Subject
from dsbridge.subjects.zero import ZERO, Said, stage, zero_block

NOT_READ = Code(
    "CK300", "zero-key-not-read", Severity.INFO, "The ZeRO stage at hand does not read a key that is set."
)


def _run(subject: Subject) -> Iterator[Diagnostic]:
    at = stage(subject)
    if at is None:
        return
    parallel = isinstance(subject.written("tensor_parallel"), dict)
    idle = [found for found in zero_block(subject) if _idle(found, at, subject.version)]
    idle = [
        found for found in idle if not (parallel and "gather" in found.path)
    ]  # AutoTP gathers at any stage
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


def _idle(found: Said, at: int, version: str) -> bool:
    """A plain value other than the default, of a key that other stages read and this one does not."""
    name = _name(found)
    if name in ("offload_param", "offload_optimizer", "stage") or isinstance(found.value, dict):
        return False  # they have checks of their own
    if found.value is None or found.value is False or found.value in ("auto", default_of(name)):
        return False
    read = stages_reading(name, version)
    return read is not None and at not in read


def _name(found: Said) -> str:
    """The key as configs have it: the engine's own name is taken too."""
    name = found.path.removeprefix(f"{ZERO}.")
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
            Evidence(
                "deepspeed",
                "0.19.8",
                "runtime/engine.py",
                "2765",
                "max_live_parameters=self.zero_max_live_parameters(),",
                "",
            ),
        ),
        pains=(35,),
    ),
)
