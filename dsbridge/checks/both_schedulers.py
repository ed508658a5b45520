"""A scheduler in the DeepSpeed file beside XTuner's own: both run, and the rate follows neither."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dsbridge.diagnostics import Code, Diagnostic, Edit, Fix, Severity
from dsbridge.rules import Evidence
from dsbridge.subjects.contract import Check, Example
from dsbridge.subjects.subject import Subject
from dsbridge.trees import lookup

BOTH = Code("CK215", "two-schedulers", Severity.WARNING, "XTuner's scheduler and DeepSpeed's both run.")


def _run(subject: Subject) -> Iterator[Diagnostic]:
    if subject.framework != "xtuner" or subject.explanation is None or subject.explanation.config is None:
        return
    block = lookup(subject.explanation.trees, "ds.scheduler")
    own = subject.tree("cfg.param_scheduler")
    if not isinstance(block, Mapping) or not isinstance(kind := block.get("type"), str):
        return
    if not own or not isinstance(own, list | Mapping):
        return
    ds = subject.ds
    fix = None
    if ds is not None and ds.document is not None and subject.written("scheduler") == block:
        fix = Fix("remove the scheduler block", (Edit(ds.file, ("scheduler",), "remove"),))
    yield BOTH(
        f"DeepSpeed builds {kind} from `scheduler` and sets the rate at each step; then mmengine runs "
        "param_scheduler, which multiplies that rate by what its own curve changes in this one step: it "
        "follows neither curve",
        hint="Remove `scheduler` from the DeepSpeed file, as in those that XTuner ships; or empty "
        "param_scheduler to train with DeepSpeed's.",
        key="scheduler",
        at=subject.place("ds.scheduler"),
        fix=fix,
    )


_CONFIG = """from mmengine.optim import AmpOptimWrapper, CosineAnnealingLR
from torch.optim import AdamW

model = dict(type='model')
env_cfg = dict(dist_cfg=dict(backend='nccl'))
train_dataloader = dict(batch_size=2, dataset=dict(type='rows'))
optim_wrapper = dict(
    type=AmpOptimWrapper,
    optimizer=dict(type=AdamW, lr=2e-4),
    accumulative_counts=4)
param_scheduler = %s
train_cfg = dict(type='TrainLoop', max_epochs=1)
"""
_COSINE = "[dict(type=CosineAnnealingLR, eta_min=0.0, by_epoch=True, end=1)]"
_DS = """{"train_micro_batch_size_per_gpu": "auto", "gradient_accumulation_steps": "auto",
 "gradient_clipping": "auto", "zero_optimization": {"stage": 2},
 "scheduler": {"type": "WarmupLR", "params": {"warmup_num_steps": 10, "warmup_max_lr": 2e-4}}}"""
_COMMAND = "xtuner train config.py --deepspeed ds.json"
CHECKS = (
    Check(
        code=BOTH,
        run=_run,
        why="Six steps with XTuner 0.2.0, DeepSpeed 0.16.2 and mmengine 0.10.6: four steps of linear warm-up "
        "to 1 and a cosine from 1 to 0 give the rates 0, 0, 0.20, 0.33, 0.38, 0.27 "
        "(tests/recorded/curves/xtuner-both.json).",
        hint="Keep one of the two.",
        fires=Example({"config.py": _CONFIG % _COSINE, "ds.json": _DS}, _COMMAND),
        holds=Example({"config.py": _CONFIG % "[]", "ds.json": _DS}, _COMMAND),
        evidence=(
            Evidence(
                "mmengine",
                "0.10.6",
                "_strategy/deepspeed.py",
                "401-404",
                "engine, self.optim_wrapper.optimizer, *_ = deepspeed.initialize(",
                "xtuner/config/scheduler-mmengine",
            ),
        ),
        pains=(2,),
    ),
)
