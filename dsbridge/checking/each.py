"""Every file by itself, as a list of all files of a repository: what is nobody's is passed over."""

from __future__ import annotations

import re
from collections.abc import Iterable

from dsbridge.checking.running import Report, check_units, merged
from dsbridge.diagnostics import InputError
from dsbridge.inputs import UNKNOWN_INPUT
from dsbridge.subjects.unit import Unit

# A text with one of these is about training: that it cannot be read is worth telling. Templates and files of
# several documents are in many repositories, and no mistake.
_OURS = re.compile(
    r"zero_optimization|train_micro_batch_size_per_gpu|per_device_train_batch_size|deepspeed_config"
    r"|finetuning_type|distributed_type"
)


def check_each(units: Iterable[Unit]) -> Report:
    """Check units, and set aside those that nobody recognises."""
    return merged([_passed_over(unit, check_units([unit])) for unit in units])


def _passed_over(unit: Unit, report: Report) -> Report:
    codes = {finding.code for finding in report.findings}
    unread = codes and all(code.startswith("IN0") for code in codes)
    if UNKNOWN_INPUT.code in codes or (unread and not any(_is_ours(unit, name) for name in unit.given)):
        return Report((), (), report.units)
    return report


def _is_ours(unit: Unit, name: str) -> bool:
    try:
        return bool(_OURS.search(unit.files.text(name)))
    except InputError:
        return False
