"""XTuner keeps three values of its own, whatever the DeepSpeed file says."""

from __future__ import annotations

from collections.abc import Iterator

from dsbridge.diagnostics import Code, Diagnostic, Edit, Fix, Severity
from dsbridge.subjects.contract import Check, Example
from dsbridge.subjects.subject import Subject
from dsbridge.subjects.wishes import Wish, changes_result, wishes

# By rule: the place in XTuner's config that decides, and what it is where the config has none.
_OWN = {
    "XT154": ("optim_wrapper.accumulative_counts", "1"),
    "XT157": ("optim_wrapper.clip_grad.max_norm", "1.0"),
    "XT158": ("train_dataloader.batch_size", ""),
}
RULES = frozenset(_OWN)
KEEPS = Code(
    "CK204", "xtuner-keeps-its-own", Severity.WARNING, "XTuner's config decides, not the DeepSpeed file."
)


def _run(subject: Subject) -> Iterator[Diagnostic]:
    for wish in wishes(subject):
        if wish.rule.code in RULES:
            yield _finding(subject, wish)


def _finding(subject: Subject, wish: Wish) -> Diagnostic:
    own, default = _OWN[wish.rule.code]
    why = (
        f"{own} ({wish.winner}) wins" if wish.winner else f"the config has no {own}, which is then {default}"
    )
    fix = None
    if subject.ds is not None and subject.ds.document and wish.winner:
        path = tuple(wish.key.split("."))
        fix = Fix(f'write "auto" at {wish.key}', (Edit(subject.ds.file, path, "set", "auto"),))
    return KEEPS(
        f"{wish.key} = {wish.value!r} is overwritten with {wish.holds!r}: {why} ({wish.rule.code})",
        hint=f"Set {own} in the XTuner config to {wish.value!r} if that is the number you want; write "
        f'"auto" at {wish.key} in the DeepSpeed file, as those that XTuner ships do.',
        key=wish.key,
        at=wish.at,
        severity=Severity.WARNING if changes_result(wish) else Severity.INFO,
        fix=fix,
    )


_CONFIG = """from mmengine.optim import AmpOptimWrapper
from torch.optim import AdamW

model = dict(type='model')
env_cfg = dict(dist_cfg=dict(backend='nccl'))
train_dataloader = dict(batch_size=2, dataset=dict(type='rows'))
optim_wrapper = dict(
    type=AmpOptimWrapper,
    optimizer=dict(type=AdamW, lr=2e-4),
    accumulative_counts=4)
train_cfg = dict(type='TrainLoop', max_epochs=1)
"""
_DS = """{"train_micro_batch_size_per_gpu": "auto", "gradient_accumulation_steps": "auto",
 "gradient_clipping": %s, "zero_optimization": {"stage": 2}}"""
_COMMAND = "xtuner train config.py --deepspeed ds.json"
CHECKS = (
    Check(
        code=KEEPS,
        run=_run,
        why="Batch, accumulation and clipping come from XTuner's config; what the file says of them is "
        "replaced with one line in the log.",
        hint='Set them in the XTuner config, and write "auto" in the DeepSpeed file.',
        fires=Example({"config.py": _CONFIG, "ds.json": _DS % "0.3"}, _COMMAND),
        holds=Example({"config.py": _CONFIG, "ds.json": _DS % '"auto"'}, _COMMAND),
        pains=(3, 29),
    ),
)
