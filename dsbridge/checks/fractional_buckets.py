"""A bucket size that old Transformers computes as a fraction, and DeepSpeed refuses."""

from __future__ import annotations

from collections.abc import Iterator

from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.rules import Evidence, numbers
from dsbridge.subjects.contract import Check, Example
from dsbridge.subjects.subject import Subject
from dsbridge.subjects.zero import ZERO, said, stage, whole

FRACTION = Code(
    "CK311", "fractional-bucket", Severity.ERROR, '"auto" becomes a number that DeepSpeed refuses.'
)
_KEY = f"{ZERO}.stage3_prefetch_bucket_size"
_WHOLE_SINCE = (4, 45)  # transformers: int(0.9 * hidden_size * hidden_size)
_STRICT_SINCE = (0, 15)  # deepspeed: takes no fraction for a count


def _run(subject: Subject) -> Iterator[Diagnostic]:
    if subject.framework not in ("trainer", "llamafactory") or stage(subject) != 3:
        return
    versions = subject.versions
    have, deepspeed = versions.get("transformers", ""), versions.get("deepspeed", "")
    found = said(subject, _KEY)
    if not have or not deepspeed or found is None or found.value != "auto":
        return
    if numbers(have) >= _WHOLE_SINCE or numbers(deepspeed) < _STRICT_SINCE:
        return
    hidden = whole(subject.fact("model.hidden_size"))
    if hidden is not None and hidden % 10 == 0:
        return
    if hidden is None:
        yield FRACTION(
            f'"auto" becomes 0.9 x hidden_size x hidden_size in transformers {have}, often a fraction, which '
            f"DeepSpeed {deepspeed} refuses; which size the model has nobody said (--model)",
            hint="Write a whole number, or use transformers 4.45 or newer.",
            key=found.key,
            at=found.at,
            severity=Severity.INFO,
        )
        return
    value = 0.9 * hidden * hidden
    yield FRACTION(
        f'"auto" becomes {value} in transformers {have}, and DeepSpeed {deepspeed} stops with '
        "ValidationError: Input should be a valid integer, got a number with a fractional part",
        hint=f"Write {int(value)}, or use transformers 4.45 or newer.",
        key=found.key,
        at=found.at,
    )


_DS = """{"zero_optimization": {"stage": 3, "stage3_prefetch_bucket_size": "auto",
  "stage3_gather_16bit_weights_on_model_save": true},
 "bf16": {"enabled": "auto"}, "train_micro_batch_size_per_gpu": "auto"}"""
_RUN = "torchrun --nproc_per_node 2 train.py --output_dir out --deepspeed ds.json --bf16 true"
_FACTS = {"model": {"hidden_size": 4096}}

CHECKS = (
    Check(
        code=FRACTION,
        run=_run,
        why="The job stops when DeepSpeed reads its config.",
        hint="A whole number, or a newer transformers.",
        fires=Example({"ds.json": _DS}, _RUN, "", _FACTS, {"transformers": "4.44.2", "deepspeed": "0.16.2"}),
        holds=Example({"ds.json": _DS}, _RUN, "", _FACTS, {"transformers": "4.51.3", "deepspeed": "0.16.9"}),
        evidence=(
            Evidence(
                "transformers",
                "4.44.2",
                "integrations/deepspeed.py",
                "244",
                "0.9 * hidden_size * hidden_size,",
                "",
            ),
            Evidence(
                "transformers",
                "5.23.0",
                "integrations/deepspeed.py",
                "237",
                "int(0.9 * hidden_size * hidden_size),",
                "",
            ),
        ),
        pains=(15,),
    ),
)
