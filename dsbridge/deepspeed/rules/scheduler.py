"""DeepSpeedEngine: the scheduler it makes or takes; then what the engine is."""

from __future__ import annotations

from typing import Any

from dsbridge.deepspeed.rules._make import (
    BF16_ALONE_SINCE,
    BF16_NAMED_SINCE,
    MAX_SINCE,
    NEWEST,
    RANKS,
    WARMUP_SINCE,
    between,
    ev,
    refusal,
    since,
    until,
    write,
)
from dsbridge.deepspeed.rules.batch import MICRO, STEPS
from dsbridge.deepspeed.rules.engine import TP_SIZE
from dsbridge.deepspeed.rules.optimizer import HAS_OPTIMIZER, LR, MADE_CLASS
from dsbridge.deepspeed.rules.wrapper import MIXED_WRAPPER, OLD_WRAPPER, WRAPPER
from dsbridge.rulebook import (
    Expr,
    OverrideRule,
    all_of,
    any_of,
    choose,
    count,
    differs,
    eq,
    first,
    first_set,
    floor_div,
    get,
    greatest,
    has,
    is_a,
    is_set,
    item,
    joined,
    keys,
    last_word,
    less,
    listed,
    missing,
    mul,
    no,
    one_of,
    starts_with,
    table,
    text,
    trouble,
    type_name,
    without,
)

_ENGINE, _FILE = "runtime/engine.py", "runtime/lr_schedules.py"
_HERE = "engine.scheduler"
_TYPE = first_set(get("engine.scheduler.type"), None)
_GIVEN = first_set(get("engine.scheduler.params"), None)
_PARAMS = choose(is_a(_GIVEN, "dict"), _GIVEN, {})
_CLIENT = get("init.scheduler")
# DeepSpeed makes one only beside an optimizer, and only if the script gives none.
_OURS = all_of(HAS_OPTIMIZER, missing(_CLIENT), no(is_a(_TYPE, "null")))
_DS, _TORCH = table("deepspeed.schedulers"), table("deepspeed.torch_schedulers")
_KNOWN = any_of(has(_DS, _TYPE), has(_TORCH, _TYPE))
_SIGNATURE = first_set(item(_DS, _TYPE), item(_TORCH, _TYPE))
_WHERE = choose(has(_DS, _TYPE), "deepspeed.runtime.lr_schedules", "torch.optim.lr_scheduler")
_UNKNOWN = first(without(keys(_PARAMS), item(_SIGNATURE, "takes")))
_ABSENT = without(item(_SIGNATURE, "needs"), keys(_PARAMS))
_MAKES = all_of(_OURS, _KNOWN, is_a(_GIVEN, "dict"))
_WARMUP = all_of(_MAKES, one_of(_TYPE, ["WarmupLR", "WarmupDecayLR"]))
_COSINE = all_of(_MAKES, eq(_TYPE, "WarmupCosineLR"))
_TOTALLED = any_of(all_of(_WARMUP, eq(_TYPE, "WarmupDecayLR")), _COSINE)


def _param(name: str, default: Any) -> Expr:
    return first_set(item(_PARAMS, name), default)


_STEPS = _param("warmup_num_steps", 1000)
_LOW = _param("warmup_min_lr", 0.0)
_HIGH = choose(
    eq(_TYPE, "WarmupLR"),
    choose(is_a(_param("warmup_max_lr", None), "null"), LR, _param("warmup_max_lr", None)),
    _param("warmup_max_lr", 0.001),
)
_LIST = _param("warmup_max_lr", 0.001)
_LENGTH = 'raise ValueError("expected {} value for {}, got {}".format('
_OLD_HIGH = _param("warmup_max_lr", 0.001)


def _row(
    code: str,
    title: str,
    when: Expr,
    error: tuple[Any, Any, Any],
    why: str,
    where: tuple[str, str, str, str],
    params: Any,
    kind: Any = "WarmupLR",
    **more: Any,
) -> OverrideRule:
    file, line, quote, recorded = where
    version = more.pop("version", "0.19.8")
    base = {"engine.optimizer.type": "AdamW", "engine.zero_optimization.stage": 2}
    return refusal(
        code,
        title,
        _HERE,
        when,
        error,
        why,
        ev(file, line, quote, recorded, version),
        {**base, "engine.scheduler": {"type": kind, "params": params}},
        {**base, "engine.scheduler": {"type": "WarmupLR", "params": {"warmup_num_steps": 10}}},
        **more,
    )


_UNPACKED = text("{}.{}() argument after ** must be a mapping, not {}", _WHERE, _TYPE, type_name(_GIVEN))
_MISSING = choose(
    eq(count(_ABSENT), 1),
    text("{}.__init__() missing 1 required positional argument: '{}'", _TYPE, first(_ABSENT)),
    text(
        "{}.__init__() missing {} required positional arguments: '{}'",
        _TYPE,
        count(_ABSENT),
        joined(_ABSENT, "' and '"),
    ),
)
_POSITIVE = text("warmup_num_steps must be a positive integer, got {}", _STEPS)
_NO_STEPS = no(all_of(is_a(_STEPS, "int", "bool"), less(0, choose(is_a(_STEPS, "int", "bool"), _STEPS, 0))))
_STEP_FIELDS = ("scheduler.params.warmup_num_steps",)
MAKE = (
    _row(
        "DS210",
        "scheduler.type must be text",
        all_of(_OURS, no(is_a(_TYPE, "str"))),
        ("TypeError", text("attribute name must be string, not '{}'", type_name(_TYPE)), ("scheduler.type",)),
        "The class is looked up by its name.",
        (_ENGINE, "1926", "if hasattr(lr_schedules, scheduler_name):", "kind/scheduler-type-number"),
        {},
        3,
    ),
    _row(
        "DS211",
        "nobody knows this scheduler",
        all_of(_OURS, is_a(_TYPE, "str"), no(_KNOWN)),
        ("AssertionError", text("DeepSpeed does not recognize LR scheduler {}", _TYPE), ("scheduler.type",)),
        "The type is a class of DeepSpeed's or torch's schedulers, spelt exactly.",
        (_ENGINE, "1930", "DeepSpeed does not recognize LR scheduler", "scheduler/unknown"),
        {},
        "CosineLR",
        hint="DeepSpeed has WarmupLR, WarmupDecayLR, WarmupCosineLR, OneCycle and LRRangeTest.",
    ),
    _row(
        "DS212",
        "scheduler.params must be a mapping",
        all_of(_OURS, _KNOWN, no(is_a(_GIVEN, "dict"))),
        ("TypeError", _UNPACKED, ("scheduler.params",)),
        "They are handed to the class by name.",
        (
            _ENGINE,
            "1935",
            "instantiated_scheduler = scheduler(optimizer, **scheduler_params)",
            "scheduler/no-params",
        ),
        None,
        hint="Write params: {} at least.",
    ),
    _row(
        "DS213",
        "a parameter that the scheduler does not take",
        all_of(_MAKES, is_set(_UNKNOWN)),
        (
            "TypeError",
            text("{}.__init__() got an unexpected keyword argument '{}'", _TYPE, _UNKNOWN),
            listed(text("scheduler.params.{}", _UNKNOWN)),
        ),
        "The parameters go to the class as they are.",
        (
            _ENGINE,
            "1935",
            "instantiated_scheduler = scheduler(optimizer, **scheduler_params)",
            "scheduler/unknown-param",
        ),
        {"total_num_steps": 100},
    ),
    _row(
        "DS214",
        "a parameter that the scheduler needs",
        all_of(_MAKES, less(0, count(_ABSENT))),
        ("TypeError", _MISSING, ("scheduler.params",)),
        "The class has no default for it.",
        (
            _ENGINE,
            "1935",
            "instantiated_scheduler = scheduler(optimizer, **scheduler_params)",
            "scheduler/decay-no-total",
        ),
        {},
        "WarmupDecayLR",
    ),
    _row(
        "DS215",
        "warmup_num_steps must be a whole number above 0",
        all_of(any_of(_WARMUP, _COSINE), _NO_STEPS),
        ("ValueError", _POSITIVE, _STEP_FIELDS),
        "Since 0.19.3 a warmup has at least one step; before, fewer than 2 were taken as 2.",
        (
            _FILE,
            "734",
            'raise ValueError(f"warmup_num_steps must be a positive integer, got',
            "scheduler/steps-zero",
        ),
        {"warmup_num_steps": 0},
        versions=since(WARMUP_SINCE),
        hint='Write a number; nobody fills an "auto" here.',
    ),
)


def _lists() -> tuple[OverrideRule, ...]:
    rows = []
    for codes, value, name in ((("DS216", "DS263"), _LOW, "min"), (("DS217", "DS264"), _LIST, "max")):
        many = count(choose(is_a(value, "list"), value, [0]))
        for code, got, line, version, versions in (
            (codes[0], many, "307", "0.19.8", since(NEWEST)),
            (codes[1], value, "724", "0.18.4", until(NEWEST)),
        ):
            rows.append(
                _row(
                    code,
                    f"warmup_{name}_lr is a list of another length",
                    all_of(_WARMUP, differs(many, 1)),
                    (
                        "ValueError",
                        text("expected 1 value for {}_lr, got {}", name, got),
                        (f"scheduler.params.warmup_{name}_lr",),
                    ),
                    "A list has one learning rate for each parameter group, and there is one.",
                    (_FILE, line, _LENGTH, f"scheduler/{name}-list"),
                    {f"warmup_{name}_lr": [1, 2]},
                    versions=versions,
                    version=version,
                )
            )
    return tuple(rows)


def _one(value: Expr) -> Expr:
    return choose(is_a(value, "list"), first(value), value)


def _number_rows() -> tuple[OverrideRule, ...]:
    new, old = (trouble("-", _one(high), _one(_LOW)) for high in (_HIGH, _OLD_HIGH))
    fields = ("scheduler.params.warmup_max_lr", "scheduler.params.warmup_min_lr")
    why = 'The two are subtracted before anything checks them; nobody fills an "auto" here.'
    where = (_FILE, "743", "self.delta_lrs = [big - small for big, small in zip(self.max_lrs, self.min_lrs)]")
    total = item(_PARAMS, "total_num_steps")
    steps = greatest(2, choose(is_a(_STEPS, "number"), _STEPS, 2))
    short, larger = trouble("<", total, steps), trouble(">", _STEPS, 2)
    return (
        _row(
            "DS218", "learning rates must be numbers", all_of(_WARMUP, is_set(new)),
            ("TypeError", item(new, "message"), fields), why, (*where, "scheduler/max-auto"),
            {"warmup_max_lr": "auto"}, versions=since(MAX_SINCE), hint="Write numbers.",
        ),
        _row(
            "DS219", "learning rates must be numbers", all_of(_WARMUP, is_set(old)),
            ("TypeError", item(old, "message"), fields), why,
            (where[0], "667", where[2], "scheduler/max-null"),
            {"warmup_max_lr": "auto"}, versions=until(MAX_SINCE), hint="Write numbers.", version="0.16.2",
        ),
        _row(
            "DS220", "warmup_num_steps must be a number", all_of(any_of(_WARMUP, _COSINE), is_set(larger)),
            ("TypeError", item(larger, "message"), _STEP_FIELDS),
            'It is compared with 2; nobody fills an "auto" here.',
            (_FILE, "675", "self.warmup_num_steps = max(2, warmup_num_steps)", "scheduler/steps-auto"),
            {"warmup_num_steps": "auto"}, versions=until(WARMUP_SINCE), version="0.18.4",
        ),
        _row(
            "DS221", "total_num_steps must be a number",
            all_of(_TOTALLED, is_set(total), is_set(short)),
            ("TypeError", item(short, "message"), ("scheduler.params.total_num_steps",)),
            'It is compared with the warmup steps; nobody fills an "auto" here.',
            (_FILE, "826", "if self.total_num_steps < self.warmup_num_steps:", "scheduler/decay-total-auto"),
            {"total_num_steps": "auto"}, "WarmupDecayLR",
        ),
    )  # fmt: skip


def _torch(code: str, wrapper: Expr, recorded: str, **more: Any) -> OverrideRule:
    line = "1019" if more.get("version") else "1935"
    plain = any_of(starts_with(wrapper, "torch."), eq(wrapper, MADE_CLASS))
    return _row(
        code,
        "torch's schedulers need torch's optimizers",
        all_of(_MAKES, no(has(_DS, _TYPE)), no(plain)),
        ("TypeError", text("{} is not an Optimizer", last_word(wrapper)), ("scheduler.type",)),
        "DeepSpeed hands them the optimizer that it has wrapped.",
        (_ENGINE, line, "instantiated_scheduler = scheduler(optimizer, **scheduler_params)", recorded),
        {"step_size": 10},
        "StepLR",
        **more,
    )


NUMBERS = (*_lists(), *_number_rows())
TORCH = (
    _torch("DS222", WRAPPER, "scheduler/torch-step", versions=since(BF16_ALONE_SINCE)),
    _torch("DS223", OLD_WRAPPER, "scheduler/torch-step", versions=until(BF16_ALONE_SINCE), version="0.16.2"),
)
_SCHEDULER = choose(
    no(HAS_OPTIMIZER),
    None,
    choose(
        is_set(_CLIENT),
        get("init.scheduler.class"),
        choose(
            is_a(_TYPE, "str"),
            choose(has(_DS, _TYPE), text("deepspeed.{}", _TYPE), text("torch.{}", _TYPE)),
            None,
        ),
    ),
)
# Ranks with samples of their own: what an mpu says, or a mesh of both sizes; with one of them alone DeepSpeed
# only counts differently. Samples of real steps: tests/recorded/batches.
_BOTH = all_of(*(is_set(get(f"engine.{name}_parallel_size")) for name in ("data", "sequence")))
_MESH = all_of(is_set(get("init.world_size")), _BOTH)
_SHARES = choose(_MESH, get("engine.data_parallel_size"), first_set(get("init.data_parallel"), RANKS))
_PARALLEL = floor_div(_SHARES, greatest(1, TP_SIZE))


def _made(
    code: str, path: str, value: Any, why: str, recorded: str, quote: str, fires: dict[str, Any], **more: Any
) -> OverrideRule:
    version = more.pop("version", "0.19.8")
    return write(
        code, f"the engine's {path.partition('.')[2]}", "engine.made", is_set(get("engine")), path, value,
        why,
        ev(_ENGINE, _LINES[code], quote, recorded, version), fires, {}, **more,
    )  # fmt: skip


_LINES = {
    "DS224": "2353", "DS225": "1895", "DS226": "2359", "DS259": "1515", "DS227": "1314",
    "DS228": "2163", "DS229": "2163",
}  # fmt: skip
_AROUND = "What ZeRO or a 16-bit format puts around the optimizer."
MADE = (
    _made(
        "DS224", "made.optimizer", MADE_CLASS,
        "The script's optimizer, else the config's; Adam and AdamW are DeepSpeed's own classes.",
        "entry/path", "self.basic_optimizer = basic_optimizer", {"engine.optimizer.type": "AdamW"},
    ),
    _made(
        "DS225", "made.scheduler", _SCHEDULER,
        "The script's scheduler, else the config's; none without an optimizer.",
        "scheduler/warmup", "self.lr_scheduler = lr_scheduler",
        {"engine.optimizer.type": "AdamW", "engine.scheduler": {"type": "WarmupLR", "params": {}}},
    ),
    _made(
        "DS226", "made.optimizer_wrapper", WRAPPER, _AROUND,
        "entry/path", "self.optimizer = self._configure_zero_optimizer(basic_optimizer)",
        {"engine.optimizer.type": "AdamW"}, versions=since(BF16_NAMED_SINCE),
    ),
    _made(
        "DS259", "made.optimizer_wrapper", MIXED_WRAPPER, _AROUND,
        "entry/path", "self.optimizer = self._configure_zero_optimizer(basic_optimizer)",
        {"engine.optimizer.type": "AdamW"}, version="0.18.4",
        versions=between(BF16_ALONE_SINCE, BF16_NAMED_SINCE),
    ),
    _made(
        "DS227", "made.optimizer_wrapper", OLD_WRAPPER, _AROUND,
        "entry/path", "self.optimizer = self._configure_zero_optimizer(basic_optimizer)",
        {"engine.optimizer.type": "AdamW"}, versions=until(BF16_ALONE_SINCE), version="0.16.2",
    ),
    _made(
        "DS228", "batch.data_parallel", _PARALLEL,
        "Ranks that share one layer or one sequence see the same samples.",
        "tp/two", "self.dp_world_size = groups._get_data_parallel_world_size()",
        {"engine.bf16.enabled": True, "fact.world_size": 4}, asked=get("engine.tensor_parallel"),
    ),
    _made(
        "DS229", "batch.global", mul(get(f"made.{MICRO}"), get(f"made.{STEPS}"), _PARALLEL),
        "Under AutoTP DeepSpeed's own count takes every rank for a data parallel one.",
        "tp/two", "self.dp_world_size = groups._get_data_parallel_world_size()",
        {"engine.bf16.enabled": True, "fact.world_size": 4, f"made.{MICRO}": 2, f"made.{STEPS}": 1},
        asked=get("engine.tensor_parallel"),
    ),
)  # fmt: skip
