"""max_grad_norm that never reaches the engine."""

from __future__ import annotations

from collections.abc import Iterator

from dsbridge.diagnostics import Code, Diagnostic, Edit, Fix, Severity
from dsbridge.subjects.contract import Check, Example
from dsbridge.subjects.subject import Subject
from dsbridge.subjects.wishes import Wish, alike, wishes
from dsbridge.trees import lookup
from dsbridge.values import UNSET

# The Trainer's, that of LLaMA-Factory's V1, and Accelerate's 0.
RULES = frozenset({"TR210", "LF352", "ACC265"})
LOST = Code(
    "CK202", "clipping-not-reached", Severity.WARNING, "The clipping asked for never reaches DeepSpeed."
)
_KEY = "gradient_clipping"


def _run(subject: Subject) -> Iterator[Diagnostic]:
    told = [wish for wish in wishes(subject) if wish.rule.code in RULES]
    for wish in told:
        yield _finding(subject, wish)
    if not told:
        yield from _default(subject)


def _finding(subject: Subject, wish: Wish) -> Diagnostic:
    return LOST(
        f"{wish.shown} = {wish.value!r} never reaches the engine: {_instead(subject, wish.holds)} "
        f"({wish.rule.code})",
        hint=f"{wish.rule.hint} The norm that is logged is the one before clipping.",
        key=wish.shown,
        at=wish.at,
        fix=_fix(subject) if wish.rule.code == "TR210" else None,
    )


def _default(subject: Subject) -> Iterator[Diagnostic]:
    """A norm that is written and equals the default of the arguments: no rule counts it as a wish."""
    at, asked = subject.wrote("args.max_grad_norm"), subject.tree("args.max_grad_norm")
    explanation = subject.explanation
    if at is None or explanation is None or explanation.config is None:
        return
    ds = explanation.trees.get("ds")
    holds = subject.effective(_KEY)
    if not ds or lookup(ds, _KEY) is not UNSET or not isinstance(holds, float | int) or alike(asked, holds):
        return
    yield LOST(
        f"max_grad_norm = {asked!r} never reaches the engine: {_instead(subject, holds)} (TR210)",
        hint='Write `"gradient_clipping": "auto"` in the DeepSpeed config.',
        key="max_grad_norm",
        at=at,
        fix=_fix(subject),
    )


def _instead(subject: Subject, holds: object) -> str:
    version = subject.version
    if subject.ds is None or subject.written(_KEY) is UNSET:
        why = f"the config has no `{_KEY}`, and DeepSpeed {version} then "
        return why + (f"clips at {holds!r}" if holds else "does not clip at all")
    return f"DeepSpeed clips at {holds!r}" if holds else "DeepSpeed does not clip at all"


def _fix(subject: Subject) -> Fix | None:
    """The arguments then fill it."""
    if subject.ds is None or not subject.ds.document or subject.written(_KEY) is not UNSET:
        return None
    return Fix(f'write "{_KEY}": "auto"', (Edit(subject.ds.file, (_KEY,), "set", "auto"),))


_DS = """{"zero_optimization": {"stage": 2}, "train_micro_batch_size_per_gpu": "auto"%s}"""
_COMMAND = "torchrun --nproc_per_node 2 train.py --output_dir o --deepspeed ds.json --max_grad_norm 0.3"
CHECKS = (
    Check(
        code=LOST,
        run=_run,
        why="Under DeepSpeed only `gradient_clipping` clips. Gradients are clipped at another norm, or not "
        "at all: a missing key is 1.0 from DeepSpeed 0.19.3 on, and was no clipping before.",
        hint='Write `"gradient_clipping": "auto"`: the Trainer fills it with max_grad_norm.',
        fires=Example({"ds.json": _DS % ""}, _COMMAND),
        holds=Example({"ds.json": _DS % ', "gradient_clipping": "auto"'}, _COMMAND),
        pains=(13,),
    ),
)
