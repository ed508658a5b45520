"""The run that is to resume, as far as loading a checkpoint depends on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from dsbridge.inputs import installed
from dsbridge.provenance import Source
from dsbridge.rules import NOTHING
from dsbridge.subjects.subject import Subject
from dsbridge.subjects.tensor import degree
from dsbridge.values import UNSET

UNPICKLES = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
_YES = ("1", "y", "yes", "true")  # torch/serialization.py, load
_ADAPTERS = ("lora", "qlora", "dora", "oft")
_RESUMES = ("resume_from_checkpoint", "output_dir", "overwrite_output_dir", "adapter_name_or_path", "stage")


class Planned(NamedTuple):
    """None: nobody says. framework: "" for a bare ds_config. deepspeed: False for a run without it.

    world: ranks. universal: `checkpoint.load_universal`. adapter: an adapter is trained. scheduler,
    optimizer: types that the DeepSpeed config names, "" for none. elastic: `elastic_checkpoint`. device:
    where the optimizer is offloaded. rate: the learning rate that is asked for. args: what the program
    says of resuming. torch: its version. unpickles: torch.load is told to read any pickle. places: where
    values were written, by DeepSpeed's key.
    """

    framework: str = ""
    deepspeed: bool = True
    version: str = ""
    world: int | None = None
    tp: int = 1
    stage: int | None = None
    dtype: str | None = None
    universal: bool = False
    adapter: bool | None = None
    scheduler: str | None = None
    optimizer: str | None = None
    elastic: bool = False
    device: str = ""
    rate: float | None = None
    args: Mapping[str, Any] = NOTHING
    torch: str = ""
    unpickles: bool = False
    places: Mapping[str, Source | None] = NOTHING

    @property
    def dp(self) -> int | None:
        """Ranks that share the optimizer's states: Ulysses shares them too."""
        return self.world // self.tp if self.world and self.world % self.tp == 0 else None


def planned(subject: Subject) -> Planned:
    """What a subject's effective config says."""
    world = subject.fact("world_size")
    stage = subject.effective("zero_optimization.stage")
    has_config = subject.ds is not None or subject.explanation is not None
    if stage is UNSET and has_config:
        stage = 0
    device = subject.effective("zero_optimization.offload_optimizer.device")
    return Planned(
        framework=subject.framework,
        deepspeed=not _without(subject),
        version=subject.version,
        world=_whole(world),
        tp=degree(subject),
        stage=_whole(stage),
        dtype=_dtype(subject) if has_config else None,
        universal=subject.effective("checkpoint.load_universal") is True,
        adapter=_adapter(subject),
        scheduler=_type(subject, "scheduler") if has_config else None,
        optimizer=_type(subject, "optimizer") if has_config else None,
        elastic=subject.effective("zero_optimization.elastic_checkpoint") is True,
        device=device if isinstance(device, str) else "",
        rate=_rate(subject),
        args=_args(subject),
        torch={**installed(["torch"]), **subject.unit.versions}.get("torch", ""),
        unpickles=subject.environ.get(UNPICKLES, "") in _YES,
        places={path: subject.place(path) for path in _PLACED},
    )


_PLACED = (
    "zero_optimization.stage",
    "zero_optimization.elastic_checkpoint",
    "bf16.enabled",
    "checkpoint.load_universal",
    "scheduler.type",
    "optimizer.type",
    "tensor_parallel.autotp_size",
)


def _without(subject: Subject) -> bool:
    """True where the prediction is that DeepSpeed is never called."""
    found = subject.explanation
    return found is not None and subject.ds is None and not found.config and found.result.refused is None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _dtype(subject: Subject) -> str | None:
    """bf16, fp16 or fp32; None while a block is left to a framework that nobody knows."""
    switches = {name: subject.effective(f"{name}.enabled") for name in ("bf16", "fp16")}
    for name, value in switches.items():
        if value is True:
            return name
    return "fp32" if all(value in (False, UNSET) for value in switches.values()) else None


def _type(subject: Subject, block: str) -> str | None:
    value = subject.effective(f"{block}.type")
    return value if isinstance(value, str) and value != "auto" else "" if value in (UNSET, None) else None


def _adapter(subject: Subject) -> bool | None:
    method = subject.spec.get("finetuning.method")
    if isinstance(method, str):
        return method in _ADAPTERS
    return True if subject.tree("script.asks.adapter") is True else None


def _rate(subject: Subject) -> float | None:
    value = subject.spec.get("optimizer.lr")
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _args(subject: Subject) -> dict[str, Any]:
    found = {}
    for name in _RESUMES:
        value = next(
            (v for tree in ("yaml", "args") if (v := subject.tree(f"{tree}.{name}")) is not UNSET), None
        )
        if value is not None:
            found[name] = value
    resume = subject.tree("flags.resume")
    return {**found, "resume": resume} if isinstance(resume, str) else found
