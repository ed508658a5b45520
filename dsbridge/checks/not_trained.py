"""A value that the user wrote, and something else trains."""

from __future__ import annotations

from collections.abc import Iterator

from dsbridge.checks.accumulation import RULES as ACCUMULATION
from dsbridge.checks.clipping import RULES as CLIPPING
from dsbridge.checks.scheduler_block import RULES as SCHEDULER
from dsbridge.checks.xtuner_keeps import RULES as XTUNER
from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.subjects.contract import Check, Example
from dsbridge.subjects.subject import Subject
from dsbridge.subjects.wishes import Wish, changes_result, instead, silent, wishes

NOT_TRAINED = Code("CK200", "value-not-trained", Severity.WARNING, "Something else trains than was written.")
_TOLD = ACCUMULATION | CLIPPING | SCHEDULER | XTUNER  # rules whose wishes have a check of their own

_ADAMW = ("adamw_torch", "adamw_torch_fused", "adamw_apex_fused", "adamw_hf")
_FORMATS = {"bfloat16": "bf16.enabled", "float16": "fp16.enabled"}  # torch's names, in mmengine's wrappers
_HALF_TRUE = ("LF232",)  # the weights are bf16 all the same; only DeepSpeed's own bf16 stays off


def _run(subject: Subject) -> Iterator[Diagnostic]:
    for wish in wishes(subject):
        if wish.rule.code in _TOLD or silent(wish) or _same_optimizer(wish) or _same_format(wish, subject):
            continue
        if not subject.assumes("flags.", wish.rule.when):
            yield _finding(wish)


def _same_optimizer(wish: Wish) -> bool:
    """DeepSpeed's Adam is AdamW too, whichever implementation the argument names."""
    kind = str(wish.holds.get("type")).lower() if isinstance(wish.holds, dict) else ""
    return wish.key == "optimizer" and kind in ("adam", "adamw") and wish.value in _ADAMW


def _same_format(wish: Wish, subject: Subject) -> bool:
    """DeepSpeed's own switch says the number format that was written by its name."""
    switch = _FORMATS.get(str(wish.value).removeprefix("torch."))
    return switch is not None and subject.effective(switch) is True


def _finding(wish: Wish) -> Diagnostic:
    half = wish.rule.code in _HALF_TRUE
    reason = "another optimizer trains the model" if wish.key == "optimizer" else wish.meaning.reason
    lost = "does not reach DeepSpeed" if half else "does not train"
    return NOT_TRAINED(
        f"{wish.shown} = {wish.value!r} {lost}: {instead(wish)}{'' if half else f', so {reason}'} "
        f"({wish.rule.code}: {wish.rule.title})",
        hint=f"{wish.rule.hint or wish.rule.why} `dsbridge rule {wish.rule.code}` shows who does it.",
        key=wish.shown,
        at=wish.at,
        severity=Severity.WARNING if changes_result(wish) and not half else Severity.INFO,
    )


_YAML = """### model
model_name_or_path: meta-llama/Llama-3.1-8B
stage: sft
do_train: true
finetuning_type: lora
dataset: alpaca_en_demo
template: llama3
output_dir: saves/llama3
per_device_train_batch_size: 1
%s
deepspeed: ds.json
"""
_DS = """{"train_batch_size": "auto", "train_micro_batch_size_per_gpu": "auto",
 "gradient_accumulation_steps": "auto", "gradient_clipping": "auto", "bf16": {"enabled": "auto"},
 "zero_optimization": {"stage": 2}%s}"""
_BLOCK = ', "optimizer": {"type": "AdamW", "params": {"lr": "auto", "betas": "auto"}}'
CHECKS = (
    Check(
        code=NOT_TRAINED,
        run=_run,
        why="The run trains without an error, with another value than the file says.",
        hint="Write the value where it is read, or take it out; the finding names the rule that replaces it.",
        fires=Example({"train.yaml": _YAML % "optim: adafactor", "ds.json": _DS % _BLOCK}),
        holds=Example({"train.yaml": _YAML % "optim: adafactor", "ds.json": _DS % ""}),
        pains=(6, 18),
    ),
)
