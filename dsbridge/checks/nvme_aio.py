"""The `aio` block and offload to NVMe: each wants the other."""

from __future__ import annotations

from collections.abc import Iterator

from dsbridge.diagnostics import Code, Diagnostic, Fix, Severity
from dsbridge.subjects.contract import Check, Example, in_deepspeed
from dsbridge.subjects.subject import Subject
from dsbridge.subjects.zero import ZERO, device, said, stage
from dsbridge.values import UNSET

IDLE = Code("CK307", "aio-unused", Severity.INFO, "The aio block is there and nothing goes to NVMe.")
PLAIN = Code("CK308", "nvme-without-aio", Severity.INFO, "Offload to NVMe reads and writes with one thread.")


def _has_aio(subject: Subject) -> bool:
    """Also in the wrong place, which another check tells."""
    return any(subject.written(name) is not UNSET for name in ("aio", "zero_optimization.aio"))


def _nvme(subject: Subject) -> str:
    """The block that goes to NVMe; "" for none."""
    blocks = ("offload_param", "offload_optimizer")
    return next((name for name in blocks if device(subject, name) == "nvme"), "")


def _idle(subject: Subject) -> Iterator[Diagnostic]:
    found = said(subject, "aio")
    if found is None or not isinstance(found.value, dict) or not found.value:
        return
    at = stage(subject)
    if at is None or (at == 3 and _nvme(subject)):
        return
    yield IDLE(
        f"the aio block tunes swapping to NVMe, and at ZeRO stage {at} with no device nvme nothing is swapped"
        if at == 3
        else f"the aio block tunes swapping to NVMe, which ZeRO stage {at} does not do",
        hint="Remove it, or offload to nvme at stage 3.",
        key=found.key,
        at=found.at,
        fix=Fix("remove the aio block", found.edits) if found.edits else None,
    )


def _plain(subject: Subject) -> Iterator[Diagnostic]:
    name = _nvme(subject)
    if stage(subject) != 3 or not name or _has_aio(subject):
        return
    at = said(subject, f"{ZERO}.{name}.device")
    yield PLAIN(
        f"{name} goes to nvme and there is no aio block: one thread, a queue of 8, blocks of 1 MiB",
        hint="Measure with `ds_nvme_tune` and write what it says into an aio block. libaio must be there.",
        key=at.key if at else f"{ZERO}.{name}.device",
        at=at.at if at else None,
    )


_DS = """{"zero_optimization": {"stage": 3, "stage3_gather_16bit_weights_on_model_save": true,
  "offload_param": {"device": "%s", "nvme_path": "/nvme"}}, %s
 "bf16": {"enabled": true}, "train_micro_batch_size_per_gpu": 1}"""
_AIO = '"aio": {"queue_depth": 32},'

CHECKS = (
    Check(
        code=IDLE,
        run=_idle,
        why="It looks as if NVMe were in use.",
        hint="The block is for device nvme at stage 3.",
        fires=Example({"ds.json": _DS % ("cpu", _AIO)}),
        holds=Example({"ds.json": _DS % ("nvme", _AIO)}),
        evidence=(in_deepspeed("runtime/engine.py", "2781", "aio_config=self.aio_config(),"),),
        pains=(31,),
    ),
    Check(
        code=PLAIN,
        run=_plain,
        why="Swapping with the defaults is a fraction of what the drive can do, and each step waits for it.",
        hint="Tune the aio block on the machine that trains.",
        fires=Example({"ds.json": _DS % ("nvme", "")}),
        holds=Example({"ds.json": _DS % ("nvme", _AIO)}),
        evidence=(in_deepspeed("runtime/swap_tensor/constants.py", "22", "AIO_QUEUE_DEPTH_DEFAULT = 8"),),
        pains=(31,),
    ),
)
