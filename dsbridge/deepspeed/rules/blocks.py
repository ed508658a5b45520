"""DeepSpeedConfig: ZeRO, logging and precision, in the order their blocks are read."""

from __future__ import annotations

from dsbridge.deepspeed.rules._make import (
    PRECISION_SINCE,
    block_rule,
    ev,
    no_attribute,
    param,
    refusal,
    since,
    until,
    write,
)
from dsbridge.language.blocks import block_values
from dsbridge.rulebook import (
    UNSET,
    Expr,
    OverrideRule,
    Range,
    all_of,
    always,
    any_of,
    block,
    choose,
    first_set,
    get,
    here,
    is_a,
    is_auto,
    is_set,
    item,
    leaves,
    missing,
    table,
    trouble,
    truthy,
)

_GIVEN = get("engine.zero_optimization")
# zero/config.py read_zero_config_deprecated: `zero_optimization: true`
ZERO = choose(
    is_a(_GIVEN, "bool"),
    choose(
        truthy(_GIVEN),
        block({"stage": 1, "allgather_bucket_size": first_set(get("engine.allgather_size"), 5e8)}),
        block({"stage": 0}),
    ),
    first_set(_GIVEN, block({})),
)
_MONITORS = ("tensorboard", "wandb", "csv_monitor", "comet")
MONITORS = block({name: param(name, block({})) for name in _MONITORS})
FP16 = param("fp16", block({}))
_BF16 = get("engine.bf16")
BF16 = choose(
    any_of(missing(_BF16), is_a(_BF16, "null")), param("bfloat16", block({})), _BF16
)  # precision_config.py get_bfloat16_config


def read(value: Expr, name: str) -> Expr:
    """A block as its class reads it."""
    return block_values(value, name, table("deepspeed.blocks"))


_BOTH = "bfloat16 and fp16 modes cannot be simultaneously enabled"
_BOTH_FIELDS = ("fp16.enabled", "bf16.enabled")


BLOCKS = (
    block_rule(
        "DS110",
        "zero_optimization",
        ZERO,
        always(),
        ev("runtime/zero/config.py", "78", "return DeepSpeedZeroConfig(**zero_config_dict)", "zero/stage-4"),
        {"engine.zero_optimization": {"stage": 7}},
        {"engine.zero_optimization": {"stage": 2}},
    ),
    no_attribute(
        "DS111",
        "activation_checkpointing",
        "get",
        "config.parameters",
        ev(
            "runtime/config_utils.py",
            "194",
            "return param_dict.get(param_name, param_default_value)",
            "block/activation-checkpointing-null",
        ),
    ),
    block_rule(
        "DS112",
        "comms_logger",
        get("engine.comms_logger"),
        is_set(get("engine.comms_logger")),
        ev(
            "comm/config.py",
            "25",
            "self.comms_logger = CommsLoggerConfig(**ds_config['comms_logger'])",
            "block/comms-logger-unknown",
        ),
        {"engine.comms_logger": {"foo": 1}},
        {"engine.comms_logger": {"enabled": False}},
    ),
    block_rule(
        "DS113",
        "monitor",
        MONITORS,
        always(),
        ev(
            "monitor/config.py",
            "14",
            "return DeepSpeedMonitorConfig(**monitor_dict)",
            "block/tensorboard-unknown",
        ),
        {"engine.tensorboard": {"path": "x"}},
        {"engine.tensorboard": {"enabled": False}},
    ),
)

_FP16_ON, _BF16_ON = item(read(FP16, "fp16"), "enabled"), item(read(BF16, "bf16"), "enabled")
_POWER = trouble("**", 2, item(read(FP16, "fp16"), "initial_scale_power"))
PRECISION = (
    block_rule(
        "DS114",
        "fp16",
        FP16,
        always(),
        ev(
            "runtime/precision_config.py",
            "97",
            "return DeepSpeedFP16Config(**fp16_config_dict)",
            "precision/fp16-opt-level",
        ),
        {"engine.fp16": {"opt_level": "O2"}},
        {"engine.fp16": {"enabled": True}},
        since(PRECISION_SINCE),
    ),
    block_rule(
        "DS115",
        "bf16",
        BF16,
        always(),
        ev(
            "runtime/precision_config.py",
            "38",
            "return DeepSpeedBF16Config(**bf16_config_dict)",
            "precision/bf16-loss-scale",
        ),
        {"engine.bf16": {"loss_scale": 1}},
        {"engine.bf16": {"enabled": True}},
        since(PRECISION_SINCE),
    ),
    no_attribute(
        "DS117",
        "fp16",
        "get",
        "config.parameters",
        ev(
            "runtime/config_utils.py",
            "194",
            "return param_dict.get(param_name, param_default_value)",
            "precision/fp16-true",
            "0.16.2",
        ),
        until(PRECISION_SINCE),
    ),
    no_attribute(
        "DS118",
        "bf16",
        "get",
        "config.parameters",
        ev(
            "runtime/config_utils.py",
            "194",
            "return param_dict.get(param_name, param_default_value)",
            "precision/bf16-true",
            "0.16.2",
        ),
        until(PRECISION_SINCE),
    ),
    refusal(
        "DS116",
        "fp16 and bf16 are both enabled",
        "config.parameters",
        all_of(truthy(_FP16_ON), truthy(_BF16_ON)),
        ("AssertionError", _BOTH, ("fp16.enabled", "bf16.enabled")),
        'A run computes in one 16-bit format. Before 0.17.1 any text counts as true, "auto" too.',
        ev("runtime/config.py", "512", _BOTH, "precision/both"),
        {"engine.fp16.enabled": True, "engine.bf16.enabled": True},
        {"engine.fp16.enabled": True},
        hint="Set one of the two to false.",
    ),
    refusal(
        "DS119",
        "fp16.initial_scale_power must be a number",
        "config.parameters",
        all_of(truthy(_FP16_ON), is_set(_POWER)),
        (item(_POWER, "type"), item(_POWER, "message"), ("fp16.initial_scale_power",)),
        "The first loss scale is two to this power, computed before anything checks it.",
        ev(
            "runtime/config.py", "211", "return 2**initial_scale_power", "precision/fp16-scale-auto", "0.16.2"
        ),
        {"engine.fp16.enabled": True, "engine.fp16.initial_scale_power": "auto"},
        {"engine.fp16.enabled": True, "engine.fp16.initial_scale_power": 16},
        versions=until(PRECISION_SINCE),
        hint='Nobody fills an "auto" here: write a number.',
    ),
)


def _dropped(code: str, name: str, recorded: str, versions: tuple[Range, ...] = ()) -> OverrideRule:
    """DeepSpeedConfigModel.__init__ takes every "auto" for a key that is not there."""
    autos = leaves(f"engine.{name}", is_auto(here()))
    return write(
        code,
        f'a leftover "auto" in {name} is as if it were not there',
        "config.parameters",
        is_set(get(f"engine.{name}")),
        autos,
        UNSET,
        'DeepSpeed fills no "auto"; the field\'s default holds.',
        ev(
            "runtime/config_utils.py",
            "56",
            'data = {k: v for k, v in data.items() if (v != "auto" or k == "replace_method")}',
            recorded,
        ),
        {f"engine.{name}": {"enabled": "auto"}},
        {f"engine.{name}": {"enabled": True}},
        versions=versions,
        asked=get(f"engine.{name}"),
        hint="Write the value you want.",
    )


DROPPED = (
    _dropped("DS265", "zero_optimization", "zero/stage-auto"),
    _dropped("DS266", "fp16", "precision/fp16-auto-bf16", since(PRECISION_SINCE)),
    _dropped("DS267", "bf16", "precision/bf16-auto", since(PRECISION_SINCE)),
)
