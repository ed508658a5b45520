"""Optimizer, scheduler and batch: the arithmetic of a step."""

from __future__ import annotations

from dsbridge.spec.kinds import Choice, Integer, ListOf, Number
from dsbridge.spec.setting import Part, setting
from dsbridge.values import Option, Setting

OPTIMIZERS = (
    "adamw",
    "adam",
    "sgd",
    "adagrad",
    "lamb",
    "lion",
    "muon",
    "adafactor",
    "adamw_8bit",
    "paged_adamw_8bit",
)
SCHEDULERS = ("constant", "constant_with_warmup", "linear", "cosine", "cosine_with_min_lr")


class Optimizer(Part):
    """What updates the weights."""

    type: Setting[str] = setting(
        Choice(options=OPTIMIZERS),
        "The algorithm.",
        "optimizer.type",
        "deepspeed/runtime/config.py",
    )
    lr: Setting[float] = setting(
        Number(least=0), "Peak learning rate.", "optimizer.params.lr", "deepspeed/runtime/config.py"
    )
    betas: Setting[tuple[float, float]] = setting(
        ListOf(item=Number(auto=False, least=0, most=1), length=2),
        "Decay of the running averages of gradient and squared gradient (Adam).",
        "optimizer.params.betas",
        "deepspeed/runtime/config.py",
    )
    eps: Setting[float] = setting(
        Number(least=0),
        "Added to the denominator (Adam).",
        "optimizer.params.eps",
        "deepspeed/runtime/config.py",
    )
    weight_decay: Setting[float] = setting(
        Number(least=0),
        "Decoupled weight decay.",
        "optimizer.params.weight_decay",
        "deepspeed/runtime/config.py",
    )
    owner: Option[str] = setting(
        Choice(auto=False, options=("framework", "deepspeed")),
        "Who builds it: the framework, or DeepSpeed from the config's `optimizer` block.",
        "",
        "deepspeed/runtime/config.py",
    )


class Scheduler(Part):
    """How the learning rate moves."""

    type: Setting[str] = setting(
        Choice(options=SCHEDULERS),
        "The curve after warm-up.",
        "scheduler.type",
        "deepspeed/runtime/lr_schedules.py",
    )
    warmup_ratio: Setting[float] = setting(
        Number(least=0, most=1),
        "Share of all optimizer steps that warm up. Instead of warmup_steps.",
        "",
        "deepspeed/runtime/lr_schedules.py",
    )
    warmup_steps: Setting[int] = setting(
        Integer(least=0),
        "Optimizer steps that warm up.",
        "scheduler.params.warmup_num_steps",
        "deepspeed/runtime/lr_schedules.py",
    )
    min_lr: Setting[float] = setting(
        Number(least=0),
        "Learning rate at the end of cosine_with_min_lr.",
        "",
        "deepspeed/runtime/lr_schedules.py",
    )
    min_lr_ratio: Option[float] = setting(
        Number(auto=False, least=0, most=1),
        "Share of the peak rate at the end of cosine_with_min_lr. Instead of min_lr.",
        "scheduler.params.cos_min_ratio",
        "deepspeed/runtime/lr_schedules.py",
    )
    warmup_type: Option[str] = setting(
        Choice(auto=False, options=("log", "linear")),
        "How the rate rises: on a straight line, as in every framework, or by the logarithm of the step, "
        "as in a `scheduler` block that does not say.",
        "scheduler.params.warmup_type",
        "deepspeed/runtime/lr_schedules.py",
    )
    warmup_min_lr: Option[float] = setting(
        Number(auto=False, least=0),
        "Learning rate that warm-up starts at, if not 0.",
        "scheduler.params.warmup_min_lr",
        "deepspeed/runtime/lr_schedules.py",
    )
    peak_lr: Option[float] = setting(
        Number(auto=False, least=0),
        "Learning rate that warm-up ends at, in place of optimizer.lr: DeepSpeed's scheduler overwrites it.",
        "scheduler.params.warmup_max_lr",
        "deepspeed/runtime/lr_schedules.py",
    )
    owner: Option[str] = setting(
        Choice(auto=False, options=("framework", "deepspeed")),
        "Who steps it: the framework, or DeepSpeed from the config's `scheduler` block.",
        "",
        "deepspeed/runtime/lr_schedules.py",
    )


class Batch(Part):
    """Samples a step. micro_per_gpu x accumulation x data-parallel ranks = global."""

    micro_per_gpu: Setting[int] = setting(
        Integer(least=1),
        "Samples a GPU takes at once.",
        "train_micro_batch_size_per_gpu",
        "deepspeed/runtime/config.py",
    )
    accumulation: Setting[int] = setting(
        Integer(least=1),
        "Micro-steps before an optimizer step.",
        "gradient_accumulation_steps",
        "deepspeed/runtime/config.py",
    )
    global_: Setting[int] = setting(
        Integer(least=1),
        "Distinct samples in an optimizer step, over all data-parallel ranks.",
        "train_batch_size",
        "deepspeed/runtime/config.py",
    )
    eval_micro_per_gpu: Option[int] = setting(
        Integer(auto=False, least=1),
        "Samples a GPU takes at once in evaluation.",
        "",
        "deepspeed/runtime/config.py",
    )
