"""DeepSpeedConfig: autocast, the optimizer's and scheduler's names, and the small blocks after them."""

from __future__ import annotations

from typing import Any

from dsbridge.deepspeed.rules._make import (
    AUTOCAST_SINCE,
    NEWEST,
    block_rule,
    ev,
    no_attribute,
    param,
    refusal,
    since,
    until,
)
from dsbridge.rulebook import (
    Expr,
    all_of,
    as_repr,
    block,
    first_set,
    get,
    is_a,
    is_set,
    item,
    no,
    one_of,
    text,
    trouble,
    truthy,
    type_name,
)

_HERE = "config.parameters"
_GET = "return param_dict.get(param_name, param_default_value)"
# runtime/config.py DtypeEnum: every name of a number format
DTYPES = [
    *("torch.float16", "fp16", "float16", "half", "torch.float32", "fp32", "float32", "float"),
    *("torch.int8", "int8", "torch.bfloat16", "bf16", "bfloat16"),
]


def no_dtype(value: Expr) -> Expr:
    """DtypeEnum(value) raises."""
    return no(all_of(is_a(value, "str"), one_of(value, DTYPES)))


def dtype_error(value: Expr, field: str) -> tuple[Any, Any, Any]:
    """What it raises."""
    return ("ValueError", text("{} is not a valid DtypeEnum", as_repr(value)), (field,))


_AUTOCAST = get("engine.torch_autocast.dtype")
_NAME = first_set(get("engine.optimizer.type"), None)
_SCHEDULER = first_set(get("engine.scheduler.type"), None)
_WALL = trouble("|", param("wall_clock_breakdown", False), param("flops_profiler.enabled", False))
_RESULTS = get("engine.autotuning.results_dir")

NAMES = (
    no_attribute(
        "DS120",
        "torch_autocast",
        "get",
        _HERE,
        ev("runtime/config_utils.py", "194", _GET, "kind/torch_autocast-null"),
        since(AUTOCAST_SINCE),
    ),
    refusal(
        "DS121",
        "torch_autocast.dtype is no number format",
        _HERE,
        all_of(is_set(_AUTOCAST), no_dtype(_AUTOCAST)),
        dtype_error(_AUTOCAST, "torch_autocast.dtype"),
        "DeepSpeed looks the format up by name.",
        ev(
            "runtime/config.py",
            "190",
            "return DtypeEnum(param_dict[TORCH_AUTOCAST][TORCH_AUTOCAST_DTYPE]).value",
            "precision/autocast-wrong",
        ),
        {"engine.torch_autocast.dtype": "float8"},
        {"engine.torch_autocast.dtype": "bfloat16"},
        versions=since(AUTOCAST_SINCE),
        hint="Write bfloat16 or float16.",
    ),
    no_attribute(
        "DS122",
        "optimizer",
        "keys",
        _HERE,
        ev(
            "runtime/config.py",
            "289",
            "if OPTIMIZER in param_dict.keys() and TYPE in param_dict[OPTIMIZER].keys():",
            "optimizer/null",
        ),
    ),
    refusal(
        "DS123",
        "optimizer.type must be text",
        _HERE,
        no(is_a(_NAME, "str", "null")),
        (
            "AttributeError",
            text("'{}' object has no attribute 'lower'", type_name(_NAME)),
            ("optimizer.type",),
        ),
        "The name is put in lower case before it is looked at.",
        ev(
            "runtime/config.py",
            "519",
            "if (self.optimizer_name is not None and self.optimizer_name.lower() in DEEPSPEED_OPTIMIZERS):",
            "kind/optimizer-type-number",
        ),
        {"engine.optimizer.type": 1},
        {"engine.optimizer.type": "AdamW"},
    ),
    no_attribute(
        "DS124",
        "scheduler",
        "keys",
        _HERE,
        ev(
            "runtime/config.py",
            "326",
            "if SCHEDULER in param_dict.keys() and TYPE in param_dict[SCHEDULER].keys():",
            "scheduler/null",
        ),
    ),
    no_attribute(
        "DS125",
        "flops_profiler",
        "get",
        _HERE,
        ev("runtime/config_utils.py", "194", _GET, "block/flops-null"),
    ),
    refusal(
        "DS126",
        "wall_clock_breakdown and flops_profiler.enabled must be true or false",
        _HERE,
        is_set(_WALL),
        (item(_WALL, "type"), item(_WALL, "message"), ("wall_clock_breakdown", "flops_profiler.enabled")),
        "The two are joined by `|` before anything checks them.",
        ev(
            "runtime/config.py",
            "533",
            "self.wall_clock_breakdown = (get_wall_clock_breakdown(param_dict) | ",
            "scalar/wall-clock-auto",
        ),
        {"engine.wall_clock_breakdown": "auto"},
        {"engine.wall_clock_breakdown": True},
        hint='Nobody fills an "auto" here: write true or false.',
    ),
    no_attribute(
        "DS127",
        "autotuning",
        "get",
        _HERE,
        ev("runtime/config_utils.py", "194", _GET, "kind/autotuning-null"),
    ),
    refusal(
        "DS128",
        "autotuning.results_dir is empty",
        _HERE,
        all_of(is_set(_RESULTS), no(truthy(_RESULTS))),
        ("AssertionError", "results_dir cannot be empty", ("autotuning.results_dir",)),
        "It is checked even when autotuning is off.",
        ev(
            "autotuning/config.py",
            "39",
            'assert self.results_dir, "results_dir cannot be empty"',
            "block/autotuning-empty",
        ),
        {"engine.autotuning.results_dir": ""},
        {"engine.autotuning.results_dir": "results"},
    ),
    block_rule(
        "DS129",
        "hybrid_engine",
        param("hybrid_engine", block({})),
        is_set(get("engine.hybrid_engine")),
        ev(
            "runtime/config.py",
            "371",
            "hybrid_engine_config = HybridEngineConfig(**hybrid_engine_config_dict)",
            "block/hybrid-unknown",
        ),
        {"engine.hybrid_engine": {"foo": 1}},
        {"engine.hybrid_engine": {"enabled": False}},
    ),
    refusal(
        "DS130",
        "sparse_attention.mode is unknown",
        _HERE,
        no(
            one_of(
                param("sparse_attention.mode", "fixed"),
                ["dense", "fixed", "variable", "bigbird", "bslongformer"],
            )
        ),
        (
            "NotImplementedError",
            text(
                "Given sparsity mode, {}, has not been implemented yet!", get("engine.sparse_attention.mode")
            ),
            ("sparse_attention.mode",),
        ),
        "DeepSpeed knows five modes.",
        ev(
            "runtime/config.py",
            "257",
            'raise NotImplementedError(f"Given sparsity mode, {mode}, has not been implemented yet!")',
            "removed/sparse-attention-wrong",
            "0.18.4",
        ),
        {"engine.sparse_attention.mode": "diagonal"},
        {"engine.sparse_attention.mode": "fixed"},
        versions=until(NEWEST),
    ),
    no_attribute(
        "DS131",
        "pipeline",
        "items",
        _HERE,
        ev(
            "runtime/config.py",
            "283",
            'for key, val in param_dict.get("pipeline", {}).items():',
            "kind/pipeline-null",
        ),
    ),
    no_attribute(
        "DS132",
        "data_efficiency",
        "get",
        _HERE,
        ev("runtime/config_utils.py", "194", _GET, "kind/data_efficiency-null"),
    ),
)
