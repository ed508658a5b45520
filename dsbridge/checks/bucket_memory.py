"""The buckets that gradients are reduced in: gigabytes of every GPU, reserved whatever the model needs."""

from __future__ import annotations

from collections.abc import Iterator

from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.subjects.contract import Check, Example, in_deepspeed
from dsbridge.subjects.subject import Subject
from dsbridge.subjects.zero import ZERO, gigabytes, half_bytes, said, stage, whole

BUCKETS = Code("CK310", "bucket-memory", Severity.INFO, "Gradient buckets take gigabytes of every GPU.")

_TOLD, _MUCH = 1e9, 4e9  # bytes: as many as the defaults with bf16; twice what overlap makes of them


def _run(subject: Subject) -> Iterator[Diagnostic]:
    at = stage(subject)
    found = said(subject, f"{ZERO}.reduce_bucket_size")
    size = whole(subject.effective(f"{ZERO}.reduce_bucket_size"))
    if not at or found is None or size is None or subject.effective(f"{ZERO}.contiguous_gradients") is False:
        return
    overlap = subject.effective(f"{ZERO}.overlap_comm")
    buffers = 2 if at < 3 and overlap is True else 1
    width = half_bytes(subject)
    taken = size * width * buffers
    if taken <= _TOLD:
        return
    sum_ = f"{size:.3g} elements x {width} bytes" + (
        " x 2, one more for overlap_comm" if buffers == 2 else ""
    )
    yield BUCKETS(
        f"reduce_bucket_size takes {gigabytes(taken)} of each GPU ({sum_}), whatever the size of the model",
        hint="Write 5e7: smaller buckets cost little speed"
        + (", or overlap_comm: false for one buffer." if buffers == 2 else "."),
        key=found.key,
        at=found.at,
        severity=Severity.WARNING if taken > _MUCH else Severity.INFO,
    )


GATHER = Code("CK312", "live-parameters", Severity.INFO, "ZeRO-3 may keep gigabytes of gathered parameters.")
_LIVE = 2e9  # elements, twice the default


def _live(subject: Subject) -> Iterator[Diagnostic]:
    if stage(subject) != 3:
        return
    width = half_bytes(subject)
    for name, default in (("max_live_parameters", 1e9), ("prefetch_bucket_size", 5e7)):
        found = said(subject, f"{ZERO}.stage3_{name}")
        size = whole(found.value) if found else None
        if found is None or size is None or size <= (_LIVE if default == 1e9 else 5e8):
            continue
        upto = gigabytes(size * width)
        yield GATHER(
            f"{found.key} lets each GPU hold up to {upto} of gathered parameters ({size:.3g} elements x "
            f"{width} bytes; the default is {default:.0e})",
            hint=f"Leave it out for the default, {gigabytes(default * width)}, where memory is short.",
            key=found.key,
            at=found.at,
        )


_DS = """{"zero_optimization": {"stage": 2, "overlap_comm": true, "reduce_bucket_size": %s},
 "bf16": {"enabled": true}, "train_micro_batch_size_per_gpu": 1}"""
_ZERO3 = """{"zero_optimization": {"stage": 3, "stage3_max_live_parameters": %s},
 "bf16": {"enabled": true}, "train_micro_batch_size_per_gpu": 1}"""

CHECKS = (
    Check(
        code=BUCKETS,
        run=_run,
        why="The buffers are made whole at the first backward pass (stages 1 and 2; a second one with "
        "overlap_comm) or with the engine (stage 3; one), also where all gradients together are smaller.",
        hint="Buckets of 5e7 elements are large enough for fast interconnects.",
        fires=Example({"ds.json": _DS % "5e8"}),
        holds=Example({"ds.json": _DS % "5e7"}),
        evidence=(
            in_deepspeed(
                "runtime/zero/stage_1_and_2.py",
                "3266-3275",
                "buf_1 = torch.empty(int(self.reduce_bucket_size),",
            ),
            in_deepspeed(
                "runtime/zero/stage3.py", "782", "bucket.buffer = torch.empty(self.reduce_bucket_size,"
            ),
        ),
    ),
    Check(
        code=GATHER,
        run=_live,
        why="Parameters that are gathered for a layer stay on the GPU until this many are there.",
        hint="The default is 1e9 elements: 2 GB in bf16.",
        fires=Example({"ds.json": _ZERO3 % "3e9"}),
        holds=Example({"ds.json": _ZERO3 % "1e9"}),
        evidence=(
            in_deepspeed(
                "runtime/zero/config.py",
                "247",
                "The maximum number of parameters resident per GPU before releasing. Smaller",
            ),
        ),
    ),
)
