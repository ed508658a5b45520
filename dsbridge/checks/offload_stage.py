"""Offload that the ZeRO stage does not do: of parameters below stage 3, of the optimizer at stage 0, to NVMe
below stage 3."""

from __future__ import annotations

from collections.abc import Iterator

from dsbridge.diagnostics import Code, Diagnostic, Fix, Severity
from dsbridge.subjects.contract import Check, Example, in_deepspeed
from dsbridge.subjects.subject import Subject
from dsbridge.subjects.zero import ZERO, Said, device, said, stage

NOT_DONE = Code(
    "CK301", "offload-not-done", Severity.WARNING, "The ZeRO stage at hand does not offload this."
)
NOT_NVME = Code(
    "CK303", "nvme-is-cpu", Severity.WARNING, "Below ZeRO-3 offload to NVMe goes to the CPU's memory."
)


def _block(subject: Subject, name: str) -> Said | None:
    """The block, or the one key of another file that stands for it."""
    return said(subject, f"{ZERO}.{name}") or said(subject, f"{ZERO}.{name}.device")


def _not_done(subject: Subject) -> Iterator[Diagnostic]:
    at = stage(subject)
    for name, least in (("offload_param", 3), ("offload_optimizer", 1)):
        where = device(subject, name)
        found = _block(subject, name)
        if at is None or at >= least or where == "none" or found is None:
            continue
        if at == 0 and name == "offload_param" and device(subject, "offload_optimizer") != "none":
            continue  # one word about the stage is enough
        what = "parameters" if name == "offload_param" else "optimizer states"
        stages = "stage 3 alone offloads" if least == 3 else "stages 1 to 3 offload"
        yield NOT_DONE(
            f"{found.key} asks for the {what} on {where}, and ZeRO stage {at} ignores it: {stages} them, so "
            "they stay on the GPU",
            hint=f"Set stage 3 to offload the {what}, or remove {found.key}."
            if least == 3
            else f"Set stage 1 or more, or remove {found.key}.",
            key=found.key,
            at=found.at,
            fix=Fix(f"remove {name}, which does nothing here", found.edits) if found.edits else None,
        )


def _not_nvme(subject: Subject) -> Iterator[Diagnostic]:
    at = stage(subject)
    found = said(subject, f"{ZERO}.offload_optimizer.device")
    if at not in (1, 2) or found is None or device(subject, "offload_optimizer") != "nvme":
        return
    yield NOT_NVME(
        f"{found.key}: nvme, and ZeRO stage {at} knows offload to the CPU alone: the optimizer states lie in "
        "the host's memory, 12 bytes a parameter divided by the ranks; nvme_path is never opened",
        hint='Set stage 3 to use NVMe, or write device: "cpu".',
        key=found.key,
        at=found.at,
    )


_PARAM = """{"zero_optimization": {"stage": %d, "offload_param": {"device": "cpu", "pin_memory": true}},
 "bf16": {"enabled": true}, "train_micro_batch_size_per_gpu": 1}"""
_NVME = """{"zero_optimization": {"stage": %d, "offload_optimizer": {"device": "nvme", "nvme_path": "/nvme"}},
 "bf16": {"enabled": true}, "train_micro_batch_size_per_gpu": 1}"""

CHECKS = (
    Check(
        code=NOT_DONE,
        run=_not_done,
        why="What the block should free stays on the GPU, and the job runs out of memory as without it.",
        hint="Offload of parameters needs stage 3, of the optimizer stage 1.",
        fires=Example({"ds.json": _PARAM % 2}),
        holds=Example({"ds.json": _PARAM % 3}),
        evidence=(
            in_deepspeed(
                "runtime/zero/config.py",
                "167",
                "memory for larger models or batch sizes. Valid only with stage 3. Expects a",
            ),
            in_deepspeed(
                "runtime/zero/config.py",
                "175",
                "sizes. Valid for ZeRO stage 1, 2, 3. Expects a dictionary containing values",
            ),
        ),
        pains=(35,),
    ),
    Check(
        code=NOT_NVME,
        run=_not_nvme,
        why="By the source of all four versions: stages 1 and 2 ask only whether the device is none.",
        hint="NVMe needs stage 3.",
        fires=Example({"ds.json": _NVME % 2}),
        holds=Example({"ds.json": _NVME % 3}),
        evidence=(
            in_deepspeed(
                "runtime/zero/stage_1_and_2.py",
                "220-221",
                "if offload_optimizer_config is not None and offload_optimizer_config.device != "
                "OffloadDeviceEnum.none:",
            ),
        ),
        pains=(31, 35),
    ),
)
