"""Two number formats asked for at once, or one that the device has not."""

from __future__ import annotations

from collections.abc import Iterator

from dsbridge.diagnostics import Code, Diagnostic, Edit, Fix, Severity
from dsbridge.provenance import Source
from dsbridge.resolve import Refused
from dsbridge.subjects.contract import Check, Example
from dsbridge.subjects.subject import Subject

TWO = Code("CK207", "two-precisions", Severity.ERROR, "bf16 and fp16 are asked for at once.")
NOT_HERE = Code("CK208", "precision-not-here", Severity.ERROR, "The device has not this number format.")
# Accelerate's word against the config: the format that is asked for, and the one that the config has on.
_AGAINST = {"ACC189": ("fp16", "bf16"), "ACC190": ("bf16", "fp16")}
_BOTH = ("DS116", "TR117")  # both on in the config; both on in the arguments
_DEVICE = {"TR115": "bf16", "TR116": "bf16", "TR129": "bf16", "DS175": "fp16", "DS176": "bf16"}
# Where a format is asked for, by whoever reads it first.
_ASKS = (
    "args.{}",
    "accelerator.mixed_precision",
    "flags.mixed_precision",
    "launch.mixed_precision",
    "env.ACCELERATE_MIXED_PRECISION",
    "yaml.mixed_precision",
)


def _run_two(subject: Subject) -> Iterator[Diagnostic]:
    against = subject.refusal(*_AGAINST)
    if against is not None:
        yield _against(subject, against)
        return
    both = subject.refusal(*_BOTH)
    if both is not None and both.rule.code == "DS116":
        yield _both(subject)
    elif both is not None:
        place = subject.wrote("args.bf16")
        yield TWO(
            f"fp16 ({subject.wrote('args.fp16') or 'its default'}) and bf16 ({place or 'its default'}) are "
            f"both true: {_title(subject)} stops ({both.rule.code})",
            hint="Keep one: bf16 on GPUs from Ampere on, fp16 on older ones.",
            key="bf16",
            at=place,
        )
    elif subject.unit.lone and all(subject.written(f"{name}.enabled") is True for name in ("fp16", "bf16")):
        yield _both(subject)


def _against(subject: Subject, refused: Refused) -> Diagnostic:
    asked, have = _AGAINST[refused.rule.code]
    at = _asked(subject, asked)
    place = subject.place(f"ds.{have}.enabled")
    fix = None
    if at is not None and subject.ds is not None and subject.ds.document and place:
        edits = [Edit(subject.ds.file, (have, "enabled"), "set", "auto")]
        if subject.written(f"{asked}.enabled") is False:
            edits.append(Edit(subject.ds.file, (asked, "enabled"), "set", "auto"))
        fix = Fix(f'write "auto" at {have}.enabled', tuple(edits))
    whose = f" ({at})" if at else ""
    return TWO(
        f"{have}.enabled is true here, and {asked} is asked for{whose}: {_title(subject)} stops "
        f"({refused.rule.code})",
        hint=f'To train in {asked} write "auto" in both blocks; to train in {have}, ask for {have}.',
        key=f"{have}.enabled",
        at=place,
        fix=fix,
    )


def _both(subject: Subject) -> Diagnostic:
    title = f"{_title(subject)} stops" if subject.input else "DeepSpeed refuses both"
    return TWO(
        f"fp16.enabled ({subject.place('ds.fp16.enabled')}) and bf16.enabled are both true: {title} (DS116)",
        hint='Set one of the two to false, or write "auto" in both where a framework fills them.',
        key="bf16.enabled",
        at=subject.place("ds.bf16.enabled"),
    )


def _run_device(subject: Subject) -> Iterator[Diagnostic]:
    refused = subject.refusal(*_DEVICE)
    if refused is None:
        return
    name = _DEVICE[refused.rule.code]
    at = _asked(subject, name) or subject.place(f"ds.{name}.enabled")
    other = "fp16, which older GPUs have" if name == "bf16" else "bf16, or float32"
    yield NOT_HERE(
        f"{name} is asked for, and this device has none: {_title(subject)} stops with {refused.type} "
        f"({refused.rule.code})",
        hint=f"Train in {other}; with --{name} dsbridge takes it that the device can.",
        key=f"{name}.enabled" if at == subject.place(f"ds.{name}.enabled") else name,
        at=at,
    )


def _asked(subject: Subject, name: str) -> Source | None:
    """Where a format is asked for beside the config."""
    for path in _ASKS:
        value = subject.tree(path.format(name))
        if value is True or (isinstance(value, str) and value.lower() in (name, "true")):
            at = subject.wrote(path.format(name))
            if at is not None:
                return at
    return None


def _title(subject: Subject) -> str:
    return subject.input.framework.title if subject.input else "DeepSpeed"


_DS = """{"zero_optimization": {"stage": 2}, "train_micro_batch_size_per_gpu": "auto",
 "gradient_accumulation_steps": "auto",
 "fp16": {"enabled": %s}, "bf16": {"enabled": "auto"}}"""
_COMMAND = "torchrun --nproc_per_node 2 train.py --output_dir o --deepspeed ds.json --bf16"
CHECKS = (
    Check(
        code=TWO,
        run=_run_two,
        why="One run has one number format. Who stops, and with which words, depends on the place of both.",
        hint='Ask for it once, beside the config, and write "enabled": "auto" in its fp16 and bf16 blocks.',
        fires=Example({"ds.json": _DS % "true"}, _COMMAND),
        holds=Example({"ds.json": _DS % '"auto"'}, _COMMAND),
        pains=(18,),
        explains=(*_AGAINST, *_BOTH),
    ),
    Check(
        code=NOT_HERE,
        run=_run_device,
        why="The job stops where the device is asked, after it was scheduled and has loaded its packages.",
        hint="Ask for a format that the GPU has: bf16 from Ampere on.",
        fires=Example({"ds.json": _DS % '"auto"'}, _COMMAND, facts={"bf16_supported": False}),
        holds=Example({"ds.json": _DS % '"auto"'}, _COMMAND, facts={"bf16_supported": True}),
        pains=(18,),
        explains=tuple(_DEVICE),
    ),
)
