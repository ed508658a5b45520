"""Gradient accumulation that was asked for in one place, and does not happen."""

from __future__ import annotations

from collections.abc import Iterator

from dsbridge.diagnostics import Code, Diagnostic, Edit, Fix, Severity
from dsbridge.subjects.contract import Check, Example
from dsbridge.subjects.subject import Subject
from dsbridge.subjects.wishes import Wish, changes_result, wishes
from dsbridge.values import UNSET

# The Trainer; Accelerate's plugin, environment and argument; LLaMA-Factory's V1.
RULES = frozenset({"TR211", "ACC170", "ACC219", "ACC220", "ACC264", "LF357"})
LOST = Code(
    "CK203", "accumulation-lost", Severity.WARNING, "Gradients are added up over another number of passes."
)
_KEY = "gradient_accumulation_steps"


def _run(subject: Subject) -> Iterator[Diagnostic]:
    for wish in wishes(subject):
        if wish.rule.code in RULES:
            yield _finding(subject, wish)


def _finding(subject: Subject, wish: Wish) -> Diagnostic:
    return LOST(
        f"{wish.shown} = {wish.value!r} does not hold: {_whose(subject, wish)}{_batch(subject, wish)} "
        f"({wish.rule.code})",
        hint=_hint(subject, wish),
        key=wish.shown,
        at=wish.at,
        severity=Severity.WARNING if changes_result(wish) else Severity.INFO,
        fix=_fix(subject, wish),
    )


def _whose(subject: Subject, wish: Wish) -> str:
    missing = subject.ds is not None and subject.written(_KEY) is UNSET
    if missing and wish.rule.code != "ACC264":
        return f"the DeepSpeed config has no `{_KEY}`, so Accelerate writes {wish.holds!r} into it"
    where = f" of {wish.winner}" if wish.winner else ""
    return f"the {wish.holds!r}{where} wins"


def _batch(subject: Subject, wish: Wish) -> str:
    """What an optimizer step sees, where all of it is known."""
    assert subject.explanation is not None
    total, held = subject.explanation.batch["global"], wish.holds
    if not isinstance(total, int) or not isinstance(held, int) or not isinstance(wish.value, int):
        return ""
    if not changes_result(wish) or not held or total % held:
        return ""
    return f", and a step sees {total} samples in place of {total // held * wish.value}"


def _hint(subject: Subject, wish: Wish) -> str:
    if subject.ds is not None and subject.ds.document and subject.written(_KEY) != "auto":
        return f'Write `"{_KEY}": "auto"` in {subject.ds.file}; the number beside it is then used.'
    return wish.rule.hint


def _fix(subject: Subject, wish: Wish) -> Fix | None:
    """Only where the config says nothing itself: else one of two numbers that were written would go."""
    if subject.ds is None or not subject.ds.document or subject.written(_KEY) is not UNSET:
        return None
    if wish.rule.code == "ACC264" or subject.stops:
        return None
    return Fix(f'write "{_KEY}": "auto"', (Edit(subject.ds.file, (_KEY,), "set", "auto"),))


_DS = """{"zero_optimization": {"stage": 2}, "train_micro_batch_size_per_gpu": "auto",
 "gradient_accumulation_steps": %s}"""
_YAML = """compute_environment: LOCAL_MACHINE
distributed_type: DEEPSPEED
deepspeed_config:
  deepspeed_config_file: ds.json
  zero3_init_flag: false
num_processes: 4
"""
_SCRIPT = """import torch
from accelerate import Accelerator

accelerator = Accelerator(gradient_accumulation_steps=8)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
loader = torch.utils.data.DataLoader(rows, batch_size=4)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
"""
_COMMAND = "accelerate launch --config_file accelerate.yaml train.py"
CHECKS = (
    Check(
        code=LOST,
        run=_run,
        why="The global batch differs from what was asked, mostly without a word in the log, and with it the "
        "number of optimizer steps.",
        hint='Say the number once, and write "auto" in the DeepSpeed config.',
        fires=Example({"ds.json": _DS % 1, "accelerate.yaml": _YAML, "train.py": _SCRIPT}, _COMMAND),
        holds=Example({"ds.json": _DS % '"auto"', "accelerate.yaml": _YAML, "train.py": _SCRIPT}, _COMMAND),
        pains=(3,),
    ),
)
