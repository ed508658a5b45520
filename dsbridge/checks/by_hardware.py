"""XTuner chooses the number format by the GPU that it finds."""

from __future__ import annotations

from collections.abc import Iterator

from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.subjects.contract import Check, Example
from dsbridge.subjects.subject import Subject

BY_GPU = Code("CK209", "precision-by-hardware", Severity.INFO, "The GPU chooses between bf16 and fp16.")
_RULES = {"XT132": "fp16", "XT133": "bf16"}


def _run(subject: Subject) -> Iterator[Diagnostic]:
    steps = [step for story in subject.stories.values() for step in story.steps]
    acted = [_RULES[step.rule.code] for step in steps if step.rule.code in _RULES]
    at = subject.place("ds.bf16.enabled") if "bf16" in acted else None
    if at is None:
        return  # every GPU has fp16; XTuner's own files are no news
    other = "fp16" if "fp16" in acted or subject.written("fp16.enabled") is True else "float32"
    yield BY_GPU(
        f'bf16.enabled is "auto": XTuner asks the GPU and trains in bf16 where it has that, else in {other} '
        f"({', '.join(code for code, name in _RULES.items() if name in acted)})",
        hint='Write "enabled": true at bf16 to have it said; --no-bf16 shows what an older GPU gets.',
        key="bf16.enabled",
        at=at,
    )


_CONFIG = """from mmengine.optim import AmpOptimWrapper
from torch.optim import AdamW

model = dict(type='model')
env_cfg = dict(dist_cfg=dict(backend='nccl'))
train_dataloader = dict(batch_size=2, dataset=dict(type='rows'))
optim_wrapper = dict(type=AmpOptimWrapper, optimizer=dict(type=AdamW, lr=2e-4))
train_cfg = dict(type='TrainLoop', max_epochs=1)
"""
_DS = """{"train_micro_batch_size_per_gpu": "auto", "gradient_accumulation_steps": "auto",
 "zero_optimization": {"stage": 2}, "bf16": {"enabled": %s}}"""
_COMMAND = "xtuner train config.py --deepspeed ds.json"
CHECKS = (
    Check(
        code=BY_GPU,
        run=_run,
        why="A run that was bf16 on one machine is fp16 or float32 on another, and its loss differs; with "
        "the Trainer the flags decide over the same file.",
        hint='Write true or false in place of "auto".',
        fires=Example({"config.py": _CONFIG, "ds.json": _DS % '"auto"'}, _COMMAND),
        holds=Example({"config.py": _CONFIG, "ds.json": _DS % "true"}, _COMMAND),
        pains=(18,),
    ),
)
