"""The peak of DeepSpeed's warm-up beats the optimizer's learning rate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dsbridge.diagnostics import Code, Diagnostic, Edit, Fix, Severity
from dsbridge.rules import Evidence, numbers
from dsbridge.subjects.contract import Check, Example, in_deepspeed
from dsbridge.subjects.subject import Subject
from dsbridge.subjects.wishes import alike, shown, written_number
from dsbridge.trees import lookup
from dsbridge.values import UNSET

PEAK = Code(
    "CK212", "warmup-peak-wins", Severity.WARNING, "The warm-up ends at another rate than the optimizer's."
)
_KEY = "scheduler.params.warmup_max_lr"
# What a block without the key climbs to, by version; from 0.17.2 on WarmupLR takes the optimizer's rate.
_DEFAULT, _OWN_SINCE = 0.001, "0.17.2"
# Where a rate is said beside the config, for runs whose optimizer DeepSpeed does not make.
_RATES = ("args.learning_rate", "says.optimizer.lr", "cfg.optim_wrapper.optimizer.lr")


def _run(subject: Subject) -> Iterator[Diagnostic]:
    config = _config(subject)
    kind = lookup(config, "scheduler.type")
    params = lookup(config, "scheduler.params")
    if kind not in ("WarmupLR", "WarmupDecayLR") or not (params is UNSET or isinstance(params, Mapping)):
        return
    name, rate = _rate(subject, config)
    have = lookup(config, _KEY)
    if rate is None:
        return
    if have is UNSET:
        own = kind == "WarmupLR" and numbers(subject.version) >= numbers(_OWN_SINCE)
        if not own and not alike(rate, _DEFAULT):
            yield _finding(subject, name, rate, _DEFAULT, f"{kind} without warmup_max_lr climbs to")
    elif (peak := written_number(have)) is not None and not alike(rate, peak):
        yield _finding(subject, name, rate, peak, f"{kind} climbs to warmup_max_lr =")


def _config(subject: Subject) -> Mapping[str, Any]:
    """What DeepSpeed gets; as written, while nobody knows who fills it."""
    explanation = subject.explanation
    if explanation is None:
        return subject.ds.value if subject.unit.lone and subject.ds else {}
    if explanation.result.refused is not None or not isinstance(explanation.config, Mapping):
        return {}
    return explanation.config


def _rate(subject: Subject, config: Mapping[str, Any]) -> tuple[str, int | float | None]:
    """The optimizer's rate and where it is said: by the block, else beside it."""
    block = config.get("optimizer")
    if isinstance(block, Mapping) and subject.framework != "xtuner":  # XTuner's own optimizer wins
        return "optimizer.params.lr", written_number(lookup(block, "params.lr"))
    for path in _RATES:
        value = written_number(subject.tree(path))
        if value is not None:
            return ("lr of the script" if path.startswith("says") else shown(path)), value
    return "", None


def _finding(subject: Subject, name: str, rate: object, peak: object, why: str) -> Diagnostic:
    missing = subject.written(_KEY) is UNSET
    at = subject.place("ds.scheduler" if missing else f"ds.{_KEY}")
    return PEAK(
        f"{name} is {rate!r}, and {why} {peak!r}: the schedule sets the rate at every step, so {rate!r} is "
        f"never the peak (DeepSpeed {subject.version})",
        hint=f'Write "warmup_max_lr": {rate!r} in scheduler.params, or the peak you want in both places.',
        key="scheduler" if missing else _KEY,
        at=at,
        fix=_fix(subject, rate) if missing else None,
    )


def _fix(subject: Subject, rate: object) -> Fix | None:
    if subject.ds is None or not subject.ds.document:
        return None
    path = ("scheduler", "params", "warmup_max_lr")
    return Fix(f"write warmup_max_lr: {rate!r}", (Edit(subject.ds.file, path, "set", rate),))


_DS = """{"train_batch_size": 8, "optimizer": {"type": "AdamW", "params": {"lr": 1e-5}},
 "scheduler": {"type": "WarmupDecayLR", "params": {"total_num_steps": 1000%s}}}"""
CHECKS = (
    Check(
        code=PEAK,
        run=_run,
        why="The run trains at the schedule's peak: with the default, 0.001, often far too high.",
        hint="Say warmup_max_lr, with the optimizer's rate.",
        fires=Example({"ds.json": _DS % ""}),
        holds=Example({"ds.json": _DS % ', "warmup_max_lr": 1e-5'}),
        evidence=(
            in_deepspeed("runtime/lr_schedules.py", "818", "warmup_max_lr: float = 0.001,"),
            in_deepspeed("runtime/lr_schedules.py", "739", "warmup_max_lr = [group['lr'] for group in "
                         "self.optimizer.param_groups]"),
            Evidence("deepspeed", "0.16.9", "runtime/lr_schedules.py", "658",
                     "warmup_max_lr: float = 0.001,", ""),
        ),
        pains=(12,),
    ),
)  # fmt: skip
