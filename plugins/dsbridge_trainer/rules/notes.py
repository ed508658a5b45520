"""Wishes that reach nobody: arguments that a DeepSpeed config silences without saying anything."""

from __future__ import annotations

from typing import Any

from dsbridge.rulebook import Expr, OverrideRule, all_of, differs, get, is_set, item, missing, table
from dsbridge_trainer.rules._make import ev, write
from dsbridge_trainer.rules.config import GIVEN


def _unheard(
    code: str,
    title: str,
    argument: str,
    key: str,
    when: Expr,
    why: str,
    proof: tuple[str, str, str, str],
    example: dict[str, Any],
    hint: str,
) -> OverrideRule:
    """An argument that is not its default, and nobody asks for it."""
    wish = get(f"args.{argument}")
    chosen = differs(wish, item(table("trainer.defaults"), argument))
    fires = {"args.deepspeed": "ds.json", **example}
    rule = write(
        code, title, "config.now", all_of(GIVEN, is_set(get("ds")), when, chosen), f"ds.{key}", None, why,
        ev(*proof), fires, {**fires, "args.deepspeed": None}, hint=hint,
    )  # fmt: skip
    return rule._replace(asked=wish)


_HFI = "integrations/deepspeed.py"
NOTES: tuple[OverrideRule, ...] = (
    _unheard(
        "TR210",
        "max_grad_norm reaches nobody",
        "max_grad_norm",
        "gradient_clipping",
        missing(get("ds.gradient_clipping")),
        "A missing key is not filled; DeepSpeed has its own default: 1.0 in 0.19.8, before that none.",
        (_HFI, "123", 'if config.get(ds_key) == "auto":', "clip/missing"),
        {"ds": {}, "args.max_grad_norm": 0.3},
        'Write `"gradient_clipping": "auto"` in the DeepSpeed config.',
    ),
    _unheard(
        "TR211",
        "gradient_accumulation_steps reaches nobody",
        "gradient_accumulation_steps",
        "gradient_accumulation_steps",
        missing(get("ds.gradient_accumulation_steps")),
        "A key that is missing is not filled; Accelerate writes 1, and nothing tells of the difference.",
        (_HFI, "123", 'if config.get(ds_key) == "auto":', "batch/steps-missing-total-too"),
        {"ds": {}, "args.gradient_accumulation_steps": 2},
        'Write `"gradient_accumulation_steps": "auto"` in the DeepSpeed config.',
    ),
    _unheard(
        "TR212",
        "learning_rate reaches nobody",
        "learning_rate",
        "optimizer.params.lr",
        all_of(is_set(get("ds.optimizer")), missing(get("ds.optimizer.params.lr"))),
        "An optimizer block without lr is not completed; DeepSpeed's own default, 1e-3, is used.",
        (_HFI, "123", 'if config.get(ds_key) == "auto":', "optim/no-lr"),
        {"ds": {"optimizer": {"type": "AdamW"}}, "args.learning_rate": 1e-4},
        'Write `"lr": "auto"` in optimizer.params.',
    ),
    _unheard(
        "TR213",
        "optim reaches nobody",
        "optim",
        "optimizer",
        is_set(get("ds.optimizer")),
        "With an optimizer block DeepSpeed builds the optimizer.",
        (_HFI, "577", "optimizer = DummyOptim(params=model_parameters)", "optim/argument-unused"),
        {"ds": {"optimizer": {"type": "AdamW"}}, "args.optim": "adafactor"},
        "Remove the optimizer block, or `optim`.",
    ),
    _unheard(
        "TR214",
        "lr_scheduler_type reaches nobody",
        "lr_scheduler_type",
        "scheduler",
        is_set(get("ds.scheduler")),
        "With a scheduler block DeepSpeed builds the schedule.",
        (_HFI, "593", "lr_scheduler = DummyScheduler(optimizer)", "schedule/argument-unused"),
        {"ds": {"scheduler": {"type": "WarmupLR"}}, "args.lr_scheduler_type": "cosine"},
        "Remove the scheduler block, or `lr_scheduler_type`.",
    ),
)
