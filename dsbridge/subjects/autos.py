"""Who fills an "auto", and what becomes of one that nobody fills: the prediction itself is asked, with the
smallest config that holds it, once for each key."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from dsbridge.explaining import engine_defaults
from dsbridge.plugins import Registry
from dsbridge.reading import Files
from dsbridge.subjects.subject import Subject
from dsbridge.subjects.unit import Unit
from dsbridge.trees import store
from dsbridge.values import UNSET

FILLED, REFUSED, DROPPED, KEPT = "filled", "refused", "dropped", "kept"
_XTUNER = """from mmengine.optim import AmpOptimWrapper
from torch.optim import AdamW

model = dict(type='model')
env_cfg = dict(dist_cfg=dict(backend='nccl'))
train_dataloader = dict(batch_size=1, dataset=dict(type='rows'))
optim_wrapper = dict(type=AmpOptimWrapper, optimizer=dict(type=AdamW, lr=1e-4))
train_cfg = dict(type='TrainLoop', max_epochs=1)
"""
_YAML = """compute_environment: LOCAL_MACHINE
distributed_type: DEEPSPEED
deepspeed_config:
  deepspeed_config_file: ds.json
num_processes: 2
"""
_ACCELERATE = """import torch
from accelerate import Accelerator
from accelerate.utils import DummyOptim, DummyScheduler

accelerator = Accelerator()
optimizer = {optimizer}
loader = torch.utils.data.DataLoader(rows, batch_size=1)
model, optimizer, loader{name} = accelerator.prepare(model, optimizer, loader{name})
"""
_LOOP = ("DummyOptim(model.parameters(), lr=1e-4)", "torch.optim.AdamW(model.parameters(), lr=1e-4)")
_SCHEDULER = "scheduler = DummyScheduler(optimizer, total_num_steps=10, warmup_num_steps=1)\nloader ="
# What must stand around a key, so that nothing but its "auto" is odd.
_AROUND: Mapping[str, Mapping[str, Any]] = {
    "optimizer": {"type": "AdamW", "params": {"lr": 1e-4}},
    "scheduler": {"type": "WarmupDecayLR", "params": {"total_num_steps": 10}},
    "fp16": {"enabled": True},
    "bf16": {"enabled": True},
    "zero_optimization.offload_param": {"device": "cpu"},
    "zero_optimization.offload_optimizer": {"device": "cpu"},
}


class Fate(NamedTuple):
    """What one framework does with it. default: DeepSpeed's, for one that it drops; why: of a refusal."""

    framework: str
    title: str
    kind: str
    default: Any = UNSET
    why: str = ""


_SAME = {"llamafactory": "trainer"}  # LLaMA-Factory fills as the Trainer does, by the same rules
FRAMEWORKS = ("trainer", "accelerate", "xtuner", "deepspeed")  # DeepSpeed alone is the last
_FLAGS = ("--output_dir", "o", "--deepspeed", "ds.json", "--per_device_train_batch_size", "1")
_COMMANDS = {
    "trainer": ("torchrun", "--nproc_per_node", "2", "train.py", *_FLAGS),
    "accelerate": ("accelerate", "launch", "--config_file", "a.yaml", "loop.py"),
    "xtuner": ("xtuner", "train", "config.py", "--deepspeed", "ds.json"),
}
_CACHE: dict[tuple[int, str, str, tuple[tuple[str, str], ...]], Fate] = {}


def unfilled(known: Registry, path: str, versions: Mapping[str, str]) -> tuple[Fate, ...]:
    """What becomes of an "auto" at a path that nobody fills, by framework; () as soon as one fills it."""
    found = []
    for name in FRAMEWORKS:
        fate = fate_in(known, name, path, versions)
        if fate is None or fate.kind == FILLED:
            return ()
        found.append(fate)
    return tuple(found)


def fate_in(known: Registry, framework: str, path: str, versions: Mapping[str, str]) -> Fate | None:
    """What one framework does with it; None for a framework that is not asked."""
    name = _SAME.get(framework, framework)
    if name not in FRAMEWORKS or name not in known.frameworks:
        return None
    key = (id(known), name, path, tuple(sorted(versions.items())))
    if key not in _CACHE:
        _CACHE[key] = _fate(name, known, _unit(name, path, versions), path)
    return _CACHE[key]


def _unit(name: str, path: str, versions: Mapping[str, str]) -> Unit:
    """The smallest input of a framework that holds the "auto"."""
    files = Files(memory={
        "ds.json": _config(path, auto=True), "config.py": _XTUNER, "a.yaml": _YAML, "loop.py": _loop(path),
    })  # fmt: skip
    command = _COMMANDS.get(name, ())
    given = () if command else ("ds.json",)
    return Unit(files, given, command, "" if command else name, versions=versions)


def _loop(path: str) -> str:
    block = path.partition(".")[0]
    text = _ACCELERATE.format(
        optimizer=_LOOP[block != "optimizer"], name=", scheduler" if block == "scheduler" else ""
    )
    return text.replace("loader =", _SCHEDULER, 1) if block == "scheduler" else text


def _config(path: str, *, auto: bool) -> str:
    config: dict[str, Any] = {"zero_optimization": {"stage": 3}, "train_micro_batch_size_per_gpu": 1}
    for block, inside in _AROUND.items():
        if path.startswith(f"{block}."):
            for name, value in inside.items():
                store(config, f"{block}.{name}", dict(value) if isinstance(value, dict) else value)
    if auto:
        store(config, path, "auto")
    return json.dumps(config)


def _fate(name: str, known: Registry, unit: Unit, path: str) -> Fate:
    title, subject = known.frameworks[name].title, Subject(unit, known)
    if subject.explanation is None:
        return Fate(name, title, FILLED)  # nobody knows
    steps = subject.explanation.result.steps.get(f"ds.{path}", ())
    if any(step.before == "auto" and step.after != "auto" for step in steps):
        return Fate(name, title, FILLED)
    usual = _usual(name, known, unit._replace(files=unit.files.over({"ds.json": _config(path, auto=False)})))
    new = [refused for refused in subject.stops if refused.rule.code not in usual]
    if new:
        return Fate(name, title, REFUSED, why=f"{new[0].type} ({new[0].rule.code})")
    story = subject.stories.get(path)
    if story is not None and story.value != "auto":
        return Fate(name, title, DROPPED, default_of(subject, path))
    return Fate(name, title, KEPT)


_USUAL: dict[tuple[Any, ...], frozenset[str]] = {}


def _usual(name: str, known: Registry, unit: Unit) -> frozenset[str]:
    """The rules that stop the run without the "auto", too."""
    texts = (unit.files.text("ds.json"), unit.files.text("loop.py"))
    key = (id(known), name, texts, tuple(sorted(unit.versions.items())))
    if key not in _USUAL:
        _USUAL[key] = frozenset(refused.rule.code for refused in Subject(unit, known).stops)
    return _USUAL[key]


def default_of(subject: Subject, path: str) -> Any:
    """What DeepSpeed takes for a key that it dropped; UNSET if its classes do not say."""
    assert subject.explanation is not None
    value = subject.effective(path)
    return engine_defaults(subject.explanation).get(path, UNSET) if value in (UNSET, "auto") else value


def autos(value: Any, start: str = "") -> Iterator[str]:
    """Paths of a config that hold "auto"."""
    for key, item in value.items() if isinstance(value, Mapping) else ():
        path = f"{start}.{key}" if start else str(key)
        if item == "auto":
            yield path
        elif isinstance(item, Mapping) and "." not in str(key):
            yield from autos(item, path)
