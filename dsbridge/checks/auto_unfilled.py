"""An "auto" that nobody on this path fills, and what DeepSpeed makes of it."""

from __future__ import annotations

from collections.abc import Iterator

from dsbridge.deepspeed.meanings import NOTHING, UNREAD, meaning_of
from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.subjects.autos import DROPPED, FILLED, KEPT, REFUSED, Fate, autos, default_of, fate_in, unfilled
from dsbridge.subjects.contract import Check, Example
from dsbridge.subjects.subject import Subject
from dsbridge.values import UNSET

UNFILLED = Code("CK210", "auto-unfilled", Severity.WARNING, 'Nobody fills this "auto".')
_OWN_WORD = ("data_types.keep_in_fp32_modules",)  # DeepSpeed itself takes "auto" there (DS137)
_OTHER_FAULT = ("(DS103)", "(DS104)")  # the key is gone from DeepSpeed, whatever its value
_LEFT = "ACC247"  # Accelerate, and the Trainer through it, stop at an "auto" that is left
_UNREAD = "activation_checkpointing."  # nobody looks at it


def _run(subject: Subject) -> Iterator[Diagnostic]:
    if subject.ds is None or "autotuning" in subject.ds.value:  # the autotuner fills some
        return
    for path in autos(subject.ds.value):
        if path in _OWN_WORD:
            continue
        found = _lone(subject, path) if subject.unit.lone else _on_path(subject, path)
        if found is not None and found.file is not None:  # of a file that XTuner ships, nobody wrote it
            yield found


def _on_path(subject: Subject, path: str) -> Diagnostic | None:
    """With a framework: refused, or left for the engine."""
    explanation = subject.explanation
    if subject.input is None or explanation is None:
        return None
    title = subject.input.framework.title
    left = subject.refusal(_LEFT)
    fate = fate_in(subject.known, subject.framework, path, subject.versions)
    kind = fate.kind if fate else FILLED
    if left is not None and (f"ds.{path}" in left.fields or path in left.fields or kind == REFUSED):
        return UNFILLED(
            f'{path} is "auto", which nobody fills: {title} stops with {left.type} at the first ({_LEFT})',
            hint=_hint(subject, path),
            key=path,
            at=subject.place(f"ds.{path}"),
            severity=Severity.ERROR,
        )
    if explanation.result.refused:  # behind another stop only what holds in the smallest config is sure
        becomes = _becomes(subject, fate) if fate and kind == DROPPED else ""
    else:
        becomes = _left(subject, path)
    if not becomes:
        return None
    return UNFILLED(
        f'{path} is "auto", which {title} does not fill: {becomes}',
        hint=_hint(subject, path),
        key=path,
        at=subject.place(f"ds.{path}"),
        severity=None if meaning_of(path) != UNREAD else Severity.INFO,
    )


def _left(subject: Subject, path: str) -> str:
    """What the engine makes of it in a run that gets there."""
    story = subject.stories.get(path)
    if story is None:
        return ""
    if any(step.before == "auto" and step.after is UNSET for step in story.steps):
        return _becomes(subject, Fate("", "", DROPPED, default_of(subject, path)))
    unread = meaning_of(path).kind == NOTHING or path.startswith(_UNREAD)
    return _becomes(subject, Fate("", "", KEPT)) if story.value == "auto" and not unread else ""


def _lone(subject: Subject, path: str) -> Diagnostic | None:
    """Without one: what none of them fills."""
    found = unfilled(subject.known, path, subject.unit.versions)
    if not found or any(fate.why.endswith(_OTHER_FAULT) for fate in found):
        return None
    stops = [f"{fate.title} stops with {fate.why}" for fate in found[:-1] if fate.kind == REFUSED]
    everywhere = all(fate.kind == REFUSED for fate in found)
    becomes = "; ".join([*stops, f"DeepSpeed alone: {_becomes(subject, found[-1])}"])
    return UNFILLED(
        f'{path} is "auto", and no framework fills it: {becomes}',
        hint=_hint(subject, path),
        key=path,
        at=subject.place(f"ds.{path}"),
        severity=Severity.ERROR if everywhere else None,
    )


def _becomes(subject: Subject, fate: Fate) -> str:
    if fate.kind == REFUSED:
        return f"it stops with {fate.why}"
    if fate.kind == KEPT:
        return 'it stays the text "auto"'
    default = "its default" if fate.default is UNSET else f"its default, {fate.default!r}"
    return f"DeepSpeed {subject.version} drops it and takes {default}"


def _hint(subject: Subject, path: str) -> str:
    whose = f" ({subject.ds.file})" if subject.ds and subject.ds.file else ""
    return f"Write the value you want at {path}{whose}, or take the key out for DeepSpeed's default."


_DS = """{"train_micro_batch_size_per_gpu": "auto", "bf16": {"enabled": "auto"},
 "zero_optimization": {"stage": 3, "reduce_bucket_size": "auto", "stage3_max_live_parameters": %s}}"""
CHECKS = (
    Check(
        code=UNFILLED,
        run=_run,
        why='"auto" is a word of the frameworks, each for keys of its own. DeepSpeed knows none: inside its '
        "blocks it drops the key in silence (a stage becomes 0), elsewhere the text stays and mostly fails.",
        hint="Write a value, or leave the key out.",
        fires=Example({"ds.json": _DS % '"auto"'}),
        holds=Example({"ds.json": _DS % "1e9"}),
        pains=(8,),
        explains=(_LEFT,),
    ),
)
