"""Which layouts a framework can train: what its own rendering refuses."""

from __future__ import annotations

from collections.abc import Callable

from dsbridge.diagnostics import Severity
from dsbridge.planner.candidate import Candidate
from dsbridge.planner.job import Job
from dsbridge.planning.specs import whole_spec
from dsbridge.rendering import framework_named, render
from dsbridge.rules import numbers
from dsbridge.spec.load import load_mapping

# what a layout decides; what else is missing, such as a data set, is not held against it
_LAYOUT = ("parallelism", "zero", "batch")
# they enable it without every_n_layers: model/model_utils/checkpointing.py:174 of LLaMA-Factory 0.9.5,
# model/sft.py:153 of XTuner 0.2.0
_ALL_OR_NONE = ("llamafactory", "xtuner")


# transformers' own kind: `use_reentrant` in gradient_checkpointing_enable of modeling_utils.py, true in
# 4.57.0 and false in 5.0.0
_NOT_REENTRANT = (5, 0)


def reentrant(target: str, transformers: str, said: bool | None) -> bool:
    """Whether a framework checkpoints the reentrant way, as its files say or by its default.

    LLaMA-Factory's is true whatever transformers does (`use_reentrant_gc`, hparams/model_args.py:149 of
    0.9.5), and so is what nobody names.
    """
    if said is not None:
        return said
    return target in ("", "llamafactory") or numbers(transformers) < _NOT_REENTRANT


def trains(job: Job, model: str, target: str) -> Callable[[Candidate], str]:
    """Asks whether a framework trains a layout: "" if so, else its own reason.

    Raises:
        InputError: no such framework.
    """
    framework_named(target)
    known: dict[object, str] = {}

    def refuses(candidate: Candidate) -> str:
        c = candidate
        if c.spacing > 1 and target in _ALL_OR_NONE:
            return f"{target}: it checkpoints every layer, or none"
        kind = (c.stage, c.offload_optimizer, c.offload_param, c.tp, c.ulysses)
        if kind not in known:
            known[kind] = _refusal(job, candidate, model, target)
        return known[kind]

    return refuses


def _refusal(job: Job, candidate: Candidate, model: str, target: str) -> str:
    artifacts = render(load_mapping(whole_spec(job, candidate, model or "model")), target)
    for finding in artifacts.diagnostics:
        ours = (finding.key or "").startswith(_LAYOUT)
        if finding.severity is Severity.ERROR and ours:
            return f"{target}: {finding.message}"
    return ""
