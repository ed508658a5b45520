"""Settings in Accelerate's YAML beside deepspeed_config_file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from dsbridge.diagnostics import Code, Diagnostic, Edit, Fix, Severity
from dsbridge.provenance import Source
from dsbridge.subjects.contract import Check, Example
from dsbridge.subjects.subject import Subject
from dsbridge.subjects.wishes import alike
from dsbridge.trees import lookup
from dsbridge.values import UNSET

TWICE = Code("CK206", "yaml-beside-config", Severity.ERROR, "The YAML repeats what a DeepSpeed config says.")
_REFUSAL = "ACC159"
# Keys of the YAML that Accelerate refuses beside a config, and DeepSpeed's key for each.
_Z = "zero_optimization."
_KEYS = {
    "gradient_accumulation_steps": "gradient_accumulation_steps",
    "gradient_clipping": "gradient_clipping",
    "zero_stage": f"{_Z}stage",
    "offload_optimizer_device": f"{_Z}offload_optimizer.device",
    "offload_param_device": f"{_Z}offload_param.device",
    "offload_optimizer_nvme_path": f"{_Z}offload_optimizer.nvme_path",
    "offload_param_nvme_path": f"{_Z}offload_param.nvme_path",
    "zero3_save_16bit_model": f"{_Z}stage3_gather_16bit_weights_on_model_save",
    "mixed_precision": "",
}


class _Key(NamedTuple):
    """A key of the YAML: its path there, its value and place; DeepSpeed's key and what the config says."""

    path: tuple[str, ...]
    value: Any
    at: Source | None
    key: str
    have: Any


def _run(subject: Subject) -> Iterator[Diagnostic]:
    if subject.refusal(_REFUSAL) is None:
        return
    for one in _keys(subject):
        name = one.path[-1]
        yield TWICE(
            f"{name}: {one.value!r} stands beside deepspeed_config_file{_said(one)}: Accelerate calls it "
            f"ignored and stops ({_REFUSAL})",
            hint=_hint(one),
            key=".".join(one.path),
            at=one.at,
            fix=_fix(subject, one),
        )


def _keys(subject: Subject) -> Iterator[_Key]:
    for block in ("deepspeed_config", ""):
        tree = subject.tree(f"yaml.{block}" if block else "yaml")
        for name, value in tree.items() if isinstance(tree, Mapping) else ():
            if name in _KEYS and (name == "mixed_precision") is not bool(block):
                path = (block, name) if block else (name,)
                have = subject.written(_KEYS[name]) if _KEYS[name] else UNSET
                yield _Key(path, value, subject.at(".".join(("yaml", *path))), _KEYS[name], have)


def _said(one: _Key) -> str:
    if not one.key:
        return ", whose fp16 and bf16 blocks choose the precision"
    if one.have is UNSET:
        return f", which has no {one.key}"
    same = " too" if alike(one.have, one.value) else ""
    return f", where {one.key} is {one.have!r}{same}"


def _hint(one: _Key) -> str:
    out = f"Take {one.path[-1]} out of the YAML"
    if not one.key:
        return f"{out}; give --mixed_precision to accelerate launch, or enable the block in the config."
    if one.have in (UNSET, "auto"):
        return f"{out}, and write {one.value!r} at {one.key} in the DeepSpeed config."
    return f"{out}: the config's {one.have!r} is the one that trains."


def _fix(subject: Subject, one: _Key) -> Fix | None:
    """Out of the YAML, and into the config where that leaves it open."""
    ds = subject.ds
    if one.at is None or ds is None or not ds.document or ds.loose:
        return None
    remove = Edit(one.at.file, one.path, "remove")
    title = f"take {one.path[-1]} out of the YAML"
    if alike(one.value, one.have) or (not one.key and str(one.value).lower() in ("no", "false")):
        return Fix(title, (remove,))
    if not one.key or one.have not in (UNSET, "auto") or not isinstance(one.value, int | float | str):
        return None  # two values that differ: which one is meant, nobody knows
    place = tuple(one.key.split("."))
    if not isinstance(lookup(ds.value, ".".join(place[:-1])), Mapping) and len(place) > 1:
        return None
    return Fix(f"{title}, into the config", (remove, Edit(ds.file, place, "set", one.value)))


_DS = """{"zero_optimization": {"stage": 2}, "train_micro_batch_size_per_gpu": "auto",
 "gradient_accumulation_steps": "auto", "bf16": {"enabled": "auto"}}"""
_YAML = """compute_environment: LOCAL_MACHINE
distributed_type: DEEPSPEED
deepspeed_config:
  deepspeed_config_file: ds.json
  zero3_init_flag: false
%snum_processes: 4
"""
_SCRIPT = """import torch
from accelerate import Accelerator

accelerator = Accelerator()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
loader = torch.utils.data.DataLoader(rows, batch_size=4)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
"""
_FILES = {"ds.json": _DS, "train.py": _SCRIPT}
_COMMAND = "accelerate launch --config_file accelerate.yaml train.py"
CHECKS = (
    Check(
        code=TWICE,
        run=_run,
        why="The message says that these variables will be ignored, but it is a ValueError: nothing trains. "
        "Even mixed_precision: 'no' is one.",
        hint="Beside deepspeed_config_file the YAML holds only what a DeepSpeed config cannot say.",
        fires=Example({"accelerate.yaml": _YAML % "mixed_precision: 'no'\n", **_FILES}, _COMMAND),
        holds=Example({"accelerate.yaml": _YAML % "", **_FILES}, _COMMAND),
        pains=(6, 17),
        explains=(_REFUSAL,),
    ),
)
