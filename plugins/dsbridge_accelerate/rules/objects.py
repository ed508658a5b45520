"""accelerator.prepare(): optimizer, scheduler and model against the config."""

from __future__ import annotations

from typing import Any

from dsbridge.rulebook import (
    Expr,
    OverrideRule,
    all_of,
    any_of,
    as_repr,
    choose,
    count,
    fact,
    first_set,
    get,
    has,
    is_a,
    is_auto,
    is_set,
    item,
    less,
    listed,
    mul,
    no,
    same,
    text,
    trouble,
    truthy,
    without,
)
from dsbridge_accelerate.rules._make import (
    ACCELERATOR,
    PLUGIN,
    SEQUENCE_SINCE,
    USED,
    ev,
    given,
    refusal,
    since,
    write,
)
from dsbridge_accelerate.rules.prepare import MODEL, STEPS, WORLD, U

MICRO_FOUND = get("prepared.micro")
_HAS_MICRO = all_of(USED, is_set(MICRO_FOUND))
_GAS = first_set(STEPS, None)
_FIRST = trouble("*", MICRO_FOUND, _GAS)
_TEXT = any_of(is_a(MICRO_FOUND, "str"), is_a(_GAS, "str"))
SP = first_set(get("accelerator.parallelism.sp_size"), 1)
_FIELDS = ("ds.train_micro_batch_size_per_gpu", "ds.gradient_accumulation_steps")
_OPTIMIZER = get("prepared.optimizer")
_SCHEDULER = get("prepared.scheduler")
DUMMY_OPTIMIZER = truthy(get("prepared.optimizer.dummy"))
DUMMY_SCHEDULER = truthy(get("prepared.scheduler.dummy"))
CALLABLE = truthy(get("prepared.scheduler.callable"))
REAL_OPTIMIZER = all_of(is_set(_OPTIMIZER), no(DUMMY_OPTIMIZER))
_HAS_OPTIMIZER, _HAS_SCHEDULER = has(get("ds"), "optimizer"), has(get("ds"), "scheduler")
_A = "in the config file and in the code at the same time. Please remove the"
_CODE = 'the code."'


def _both(code: str, what: str, article: str, when: Expr, lines: str, fires: dict[str, Any]) -> OverrideRule:
    dummy = "DummyOptim" if what == "optimizer" else "DummyScheduler"
    return refusal(
        code,
        f"{what} in the config and in the script",
        "prepare.objects",
        all_of(USED, when),
        (
            "ValueError",
            f"You cannot specify {article} {what} {_A} {what} from the config file or create "
            f"`accelerate.utils.{dummy}` in the code.",
            (f"ds.{what}", f"prepared.{what}"),
        ),
        f"DeepSpeed would make one {what} and the script has made another.",
        ev(ACCELERATOR, lines,
           f'"You cannot specify {article} {what} in the config file and in the code at the '
           'same time. "', f"optimizer/lambda-{what}"),
        {**U, f"ds.{what}": {"type": "X"}, **fires},
        {**U, **fires},
        hint=f"Pass {dummy} to prepare(), or take `{what}` out of the DeepSpeed config.",
    )  # fmt: skip


OBJECTS = (
    refusal(
        "ACC221",
        "the global batch cannot be calculated",
        "prepare.objects",
        all_of(_HAS_MICRO, is_set(_FIRST)),
        (item(_FIRST, "type"), item(_FIRST, "message"), _FIELDS),
        "Accelerate multiplies micro batch and accumulation as they stand.",
        ev(ACCELERATOR, "2229-2235", '* deepspeed_plugin.get_value("gradient_accumulation_steps")',
           "ds/steps-null"),
        {**U, "prepared.micro": 4, "ds.gradient_accumulation_steps": None},
        {**U, "prepared.micro": 4, "ds.gradient_accumulation_steps": 1},
        hint="Write whole numbers.",
    ),
    refusal(
        "ACC222",
        "a batch size in quotes",
        "prepare.objects",
        all_of(_HAS_MICRO, no(is_set(_FIRST)), _TEXT),
        ("TypeError", "unsupported operand type(s) for //: 'str' and 'int'", _FIELDS),
        "Python repeats a text that is multiplied, and cannot divide it.",
        ev(ACCELERATOR, "2229-2235", "// sp_size", "ds/steps-text"),
        {**U, "prepared.micro": 4, "ds.gradient_accumulation_steps": "4"},
        {**U, "prepared.micro": 4, "ds.gradient_accumulation_steps": 4},
        hint="Write numbers without quotes.",
        versions=since(SEQUENCE_SINCE),
    ),
    _both("ACC223", "optimizer", "an", all_of(REAL_OPTIMIZER, _HAS_OPTIMIZER), "2250-2256",
          {"prepared.optimizer.class": "torch.AdamW"}),
    refusal(
        "ACC224",
        "DummyOptim without an optimizer in the config",
        "prepare.objects",
        all_of(USED, DUMMY_OPTIMIZER, no(_HAS_OPTIMIZER)),
        ("ValueError", "You cannot create a `DummyOptim` without specifying an optimizer in the config file.",
         ("ds.optimizer", "prepared.optimizer")),
        "DummyOptim stands for the optimizer that DeepSpeed makes.",
        ev(ACCELERATOR, "2257-2260",
           '"You cannot create a `DummyOptim` without specifying an optimizer in the config file."',
           "optimizer/dummy-none"),
        {**U, "prepared.optimizer.dummy": True, "ds.zero_optimization": {}},
        {**U, "prepared.optimizer.dummy": True, "ds.optimizer": {}},
        hint='Write an "optimizer" block.',
    ),
    _both("ACC225", "scheduler", "a", all_of(is_set(_SCHEDULER), no(DUMMY_SCHEDULER), _HAS_SCHEDULER),
          "2265-2271", {"prepared.scheduler.class": "torch.LambdaLR"}),
    refusal(
        "ACC226",
        "DummyScheduler without a scheduler in the config",
        "prepare.objects",
        all_of(USED, DUMMY_SCHEDULER, no(CALLABLE), no(_HAS_SCHEDULER)),
        ("ValueError", "Either specify a scheduler in the config file or pass in the `lr_scheduler_callable` "
         "parameter when using `accelerate.utils.DummyScheduler`.", ("ds.scheduler", "prepared.scheduler")),
        "DummyScheduler stands for the scheduler that DeepSpeed makes, or for the one its callable makes.",
        ev(ACCELERATOR, "2277-2280", '"Either specify a scheduler in the config file or "',
           "optimizer/adamw-and-dummy-none"),
        {**U, "prepared.scheduler.dummy": True, "ds.zero_optimization": {}},
        {**U, "prepared.scheduler.dummy": True, "ds.scheduler": {}},
        hint='Write a "scheduler" block.',
    ),
    refusal(
        "ACC227",
        "DummyOptim with a real scheduler",
        "prepare.objects",
        all_of(USED, DUMMY_OPTIMIZER, is_set(_SCHEDULER), no(DUMMY_SCHEDULER)),
        ("ValueError", "You can only specify `accelerate.utils.DummyScheduler` in the code when using "
         "`accelerate.utils.DummyOptim`.", ("prepared.scheduler", "prepared.optimizer")),
        "A real scheduler would hold an optimizer that DeepSpeed never sees.",
        ev(ACCELERATOR, "2282-2287",
           '"You can only specify `accelerate.utils.DummyScheduler` in the code when using "',
           "optimizer/dummy-and-lambda-optimizer"),
        {**U, "prepared.optimizer.dummy": True, "prepared.scheduler.class": "torch.LambdaLR",
         "ds.optimizer": {}},
        {**U, "prepared.optimizer.dummy": True, "prepared.scheduler.dummy": True, "ds.optimizer": {},
         "ds.scheduler": {}},
        hint="Pass DummyScheduler, or a torch optimizer.",
    ),
    write(
        "ACC228",
        "a torch optimizer is allowed under ZeRO",
        "prepare.objects",
        all_of(USED, REAL_OPTIMIZER),
        "ds.zero_allow_untested_optimizer",
        True,
        "Written for every optimizer of the script's own, also over an explicit false.",
        ev(ACCELERATOR, "2263",
           'deepspeed_plugin.deepspeed_config["zero_allow_untested_optimizer"] = True', "ds/untested-false"),
        {**U, "prepared.optimizer.class": "torch.SGD"},
        {**U, "prepared.optimizer.dummy": True},
    ),
    write(
        "ACC229",
        "the global batch is calculated",
        "prepare.objects",
        all_of(_HAS_MICRO, no(is_set(_FIRST))),
        "prepared.total",
        mul(MICRO_FOUND, STEPS, WORLD),
        "Micro batch x accumulation x ranks; tensor-parallel ranks are counted too.",
        ev(ACCELERATOR, "2229-2235", 'config_kwargs["train_batch_size"] = (', "ds/as-is"),
        {**U, "prepared.micro": 4, "ds.gradient_accumulation_steps": 2, "fact.world_size": 2},
        {**U, "ds.gradient_accumulation_steps": 2, "fact.world_size": 2},
    ),
)  # fmt: skip

_MOE = any_of(
    given("plugin.transformer_moe_cls_names"), is_set(get("env.ACCELERATE_DEEPSPEED_MOE_LAYER_CLS_NAMES"))
)
_BUCKETS = ("reduce_bucket_size", "stage3_prefetch_bucket_size", "stage3_param_persistence_threshold")


def _auto_names() -> Expr:
    names = (f"zero_optimization.{name}" for name in _BUCKETS)
    return without(listed(*(choose(is_auto(get(f"ds.{name}")), name, "") for name in names)), [""])


_REASON = (
    "therefore it's not possible to automatically fill out the following `auto` entries in the DeepSpeed "
    "config file: {}. You can fix that by replacing `auto` values for these keys with an integer value of "
    "your "
    "choice."
)
_WITHOUT = all_of(USED, MODEL, less(0, count(_auto_names())))
MODELS = (
    refusal(
        "ACC230",
        "a MoE layer class that the model does not have",
        "prepare.model",
        all_of(USED, MODEL, _MOE, no(fact("moe_layers_found"))),
        ("Exception", "Could not find a transformer layer class called '…' to wrap in the model.",
         ("plugin.transformer_moe_cls_names",)),
        "Every name must be a class of one of the model's modules.",
        ev(PLUGIN, "1545-1548",
           "f\"Could not find a transformer layer class called '{layer_class}' to wrap in the model.\"",
           "plugin/moe-gone"),
        {**U, "prepared.model": {}, "plugin.transformer_moe_cls_names": "X", "fact.moe_layers_found": False},
        {**U, "prepared.model": {}, "plugin.transformer_moe_cls_names": "X", "fact.moe_layers_found": True},
        hint="Name a class of the model you load.",
    ),
    refusal(
        "ACC231",
        "bucket sizes are auto and the model has no config",
        "prepare.model",
        all_of(_WITHOUT, same(get("prepared.model.config"), False)),
        ("ValueError", text("Can't find `model.config` entry, " + _REASON, as_repr(_auto_names())),
         ("ds.zero_optimization",)),
        "An `auto` bucket size follows from the model's hidden size.",
        ev(ACCELERATOR, "2308-2309", "raise ValueError(\"Can't find `model.config` entry, \" + reasoning)",
           "model/linear"),
        {**U, "prepared.model.config": False, "ds.zero_optimization.reduce_bucket_size": "auto"},
        {**U, "prepared.model.config": True, "ds.zero_optimization.reduce_bucket_size": "auto"},
        hint="Write numbers.",
    ),
    refusal(
        "ACC232",
        "bucket sizes are auto and the model's config has no hidden size",
        "prepare.model",
        all_of(_WITHOUT, same(get("prepared.model.sized"), False)),
        ("ValueError",
         text("Can find neither `model.config.hidden_size` nor `model.config.hidden_sizes`, " + _REASON,
              as_repr(_auto_names())), ("ds.zero_optimization",)),
        "An `auto` bucket size follows from the model's hidden size.",
        ev(ACCELERATOR, "2316-2319",
           '"Can find neither `model.config.hidden_size` nor `model.config.hidden_sizes`, " + reasoning',
           "model/unsized"),
        {**U, "prepared.model.sized": False, "ds.zero_optimization.reduce_bucket_size": "auto"},
        {**U, "prepared.model.sized": True, "ds.zero_optimization.reduce_bucket_size": "auto"},
        hint="Write numbers.",
    ),
)  # fmt: skip
RULES: tuple[OverrideRule, ...] = (*OBJECTS, *MODELS)
