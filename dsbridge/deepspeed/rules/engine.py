"""DeepSpeedEngine, first part: what the GPU cannot do, names nobody knows, tensor parallelism, the model."""

from __future__ import annotations

from dsbridge.deepspeed.rules._make import (
    MANAGED_SINCE,
    MIXED_SINCE,
    RANKS,
    TP_SINCE,
    TP_STAGE_3_SINCE,
    WARMUP_SINCE,
    between,
    ev,
    param,
    refusal,
    since,
)
from dsbridge.deepspeed.rules.check import BF16_ON, FP16_ON, FP16_READ, STAGE, ZERO_READ
from dsbridge.deepspeed.rules.names import dtype_error, no_dtype
from dsbridge.language.blocks import block_values
from dsbridge.rulebook import (
    Expr,
    OverrideRule,
    all_of,
    any_of,
    choose,
    differs,
    eq,
    fact,
    first_set,
    get,
    has,
    is_a,
    is_set,
    item,
    less,
    lower,
    missing,
    no,
    one_of,
    table,
    text,
    truthy,
)

_ENGINE = "runtime/engine.py"
_HERE = "engine.check"
TYPE = first_set(get("engine.optimizer.type"), None)
NAMED = is_a(TYPE, "str")
# the name as the engine knows it: DeepSpeed's own ones in lower case
NAME = choose(NAMED, choose(one_of(lower(TYPE), table("deepspeed.optimizer_names")), lower(TYPE), TYPE), None)
CLIENT = get("init.optimizer")


def _unsupported(code: str, kind: str, on: Expr, recorded: str) -> OverrideRule:
    return refusal(
        code,
        f"the device has no {kind}",
        _HERE,
        all_of(truthy(on), no(fact(f"{kind}_supported"))),
        ("ValueError", f"Type {kind} is not supported on your device.", (f"{kind}.enabled",)),
        "DeepSpeed asks the device.",
        ev(
            _ENGINE,
            "2004-2007",
            f'raise ValueError("Type {kind} is not supported on your device.")',
            recorded,
        ),
        {f"engine.{kind}.enabled": True, f"fact.{kind}_supported": False},
        {f"engine.{kind}.enabled": True, f"fact.{kind}_supported": True},
        hint="Use the other 16-bit format.",
    )


_PARAM_DTYPE = get("engine.data_types.param_dtype")
_BUFFER_DTYPE = get("engine.data_types.buffer_dtype")
_NAMES_16 = {
    "fp16": ["torch.float16", "fp16", "float16", "half"],
    "bf16": ["torch.bfloat16", "bf16", "bfloat16"],
    "fp32": ["torch.float32", "fp32", "float32", "float"],
}
MODEL_DTYPE = choose(truthy(FP16_ON), "float16", choose(truthy(BF16_ON), "bfloat16", "float32"))
_SAME_DTYPE = choose(
    truthy(FP16_ON),
    one_of(_PARAM_DTYPE, _NAMES_16["fp16"]),
    choose(truthy(BF16_ON), one_of(_PARAM_DTYPE, _NAMES_16["bf16"]), one_of(_PARAM_DTYPE, _NAMES_16["fp32"])),
)
_MANAGED = get("engine.managed_gradient_accumulation")
_OVERLAP = "managed_gradient_accumulation=False supports ZeRO overlap_comm only with ZeRO stage 2"
_LEVELS = ["debug", "info", "warning", "error", "critical"]
_LEVEL = get("engine.log_level")

CHECKS = (
    _unsupported("DS175", "fp16", FP16_ON, "gpu/no-fp16"),
    _unsupported("DS176", "bf16", BF16_ON, "gpu/no-bf16"),
    refusal(
        "DS177",
        "data_types.param_dtype is not the format in use",
        _HERE,
        all_of(
            is_set(_PARAM_DTYPE), no(is_a(_PARAM_DTYPE, "null")), no(no_dtype(_PARAM_DTYPE)), no(_SAME_DTYPE)
        ),
        (
            "AssertionError",
            text(
                "data_types.param_dtype='{}' conflicts with the enabled precision mode "
                "(model dtype torch.{}). Set the matching fp16/bf16 'enabled' flag or omit "
                "data_types.param_dtype.",
                _PARAM_DTYPE,
                MODEL_DTYPE,
            ),
            ("data_types.param_dtype",),
        ),
        "The parameters have the format of fp16 or bf16, whichever is enabled.",
        ev(
            _ENGINE, "1827", 'assert requested == model_dtype, (f"data_types.param_dtype=', "kind/param-dtype"
        ),
        {"engine.data_types.param_dtype": "fp32", "engine.bf16.enabled": True},
        {"engine.data_types.param_dtype": "bf16", "engine.bf16.enabled": True},
        versions=since(MIXED_SINCE),
    ),
    refusal(
        "DS178",
        "the script's optimizer is none",
        _HERE,
        is_set(get("init.optimizer.wrong_type")),
        (
            "AssertionError",
            text("Client Optimizer is of unexpected type <class '{}'>", get("init.optimizer.wrong_type")),
            ("init.optimizer",),
        ),
        "An optimizer is an object of torch's class, or a function that makes one.",
        ev(
            _ENGINE,
            "2014",
            "f'Client Optimizer is of unexpected type {type(self.client_optimizer)}'",
            "client/word",
        ),
        {"init.optimizer.wrong_type": "str"},
        {"init.optimizer.class": "torch.AdamW"},
    ),
    refusal(
        "DS179",
        "nobody knows this optimizer",
        _HERE,
        all_of(
            missing(CLIENT),
            NAMED,
            no(
                any_of(
                    one_of(NAME, table("deepspeed.optimizer_names")),
                    has(table("deepspeed.torch_optimizers"), NAME),
                )
            ),
        ),
        ("AssertionError", text("{} is not a supported DeepSpeed Optimizer", NAME), ("optimizer.type",)),
        "The type is one of DeepSpeed's names in any case, or a class of torch.optim spelt exactly.",
        ev(
            _ENGINE,
            "2019",
            '"{} is not a supported DeepSpeed Optimizer".format(self.optimizer_name())',
            "optimizer/unknown",
        ),
        {"engine.optimizer.type": "AdamX"},
        {"engine.optimizer.type": "adamw"},
        hint="Name an optimizer that this release has (Adam, AdamW, Lamb, ...) or a class of torch.optim. "
        'Nobody fills an "auto" here.',
    ),
    refusal(
        "DS180",
        "Lamb needs a dynamic loss scale",
        _HERE,
        all_of(eq(NAME, "lamb"), differs(item(FP16_READ, "loss_scale"), 0)),
        (
            "AssertionError",
            "DeepSpeed lamb optimizer requires dynamic loss scaling",
            ("optimizer.type", "fp16.loss_scale"),
        ),
        "Lamb's trust ratio needs gradients that are scaled as they come.",
        ev(
            _ENGINE,
            "2022",
            'assert (self.dynamic_loss_scale()), "DeepSpeed {} optimizer requires dynamic',
            "wrapper/lamb-static",
        ),
        {"engine.optimizer.type": "Lamb", "engine.fp16.loss_scale": 128},
        {"engine.optimizer.type": "Lamb"},
        hint="Write fp16.loss_scale: 0.",
    ),
    refusal(
        "DS182",
        "unmanaged gradient accumulation with overlapping communication",
        _HERE,
        all_of(
            is_set(_MANAGED), no(truthy(_MANAGED)), less(STAGE, 2), truthy(item(ZERO_READ, "overlap_comm"))
        ),
        ("AssertionError", _OVERLAP, ("managed_gradient_accumulation", "zero_optimization.overlap_comm")),
        "Only from stage 2 on are gradients reduced where this can work.",
        ev(_ENGINE, "2032", _OVERLAP, "wrapper/unmanaged-stage-1"),
        {
            "engine.managed_gradient_accumulation": False,
            "engine.zero_optimization": {"stage": 1, "overlap_comm": True},
        },
        {"engine.managed_gradient_accumulation": False, "engine.zero_optimization.stage": 2},
        versions=since(MANAGED_SINCE),
    ),
    refusal(
        "DS183",
        "log_level is unknown",
        _HERE,
        all_of(is_a(_LEVEL, "str"), no(one_of(lower(_LEVEL), _LEVELS))),
        (
            "ValueError",
            text(
                "{} is not one of the valid logging levels. Valid log levels are dict_keys(['debug', 'info', "
                "'warning', 'error', 'critical']).",
                _LEVEL,
            ),
            ("log_level",),
        ),
        "DeepSpeed knows five levels.",
        ev(
            "utils/logging.py",
            "189",
            "is not one of the valid logging levels. Valid log levels are",
            "scalar/log-level-wrong",
        ),
        {"engine.log_level": "loud"},
        {"engine.log_level": "info"},
        versions=since(WARMUP_SINCE),
    ),
)

_TP = item(
    block_values(param("tensor_parallel", {}), "tensor_parallel", table("deepspeed.blocks")), "autotp_size"
)
TP_SIZE = choose(is_a(_TP, "int"), _TP, 0)
_NO_STAGE_3 = "Currently, the compatibility between 'autotp' and 'zero_stage = 3' has not been validated"
PARALLEL = (
    refusal(
        "DS184",
        "AutoTP with ZeRO-3",
        _HERE,
        all_of(less(1, TP_SIZE), eq(STAGE, 3)),
        ("AssertionError", _NO_STAGE_3, ("tensor_parallel.autotp_size", "zero_optimization.stage")),
        "Before 0.19.4 the two do not go together.",
        ev(
            _ENGINE,
            "510",
            "compatibility between 'autotp' and 'zero_stage = 3' has not been validated",
            "tp/two-stage-3",
            "0.18.4",
        ),
        {"engine.tensor_parallel.autotp_size": 2, "engine.zero_optimization.stage": 3},
        {"engine.tensor_parallel.autotp_size": 2, "engine.zero_optimization.stage": 2},
        versions=between(TP_SINCE, TP_STAGE_3_SINCE),
        hint="Use stage 1 or 2.",
    ),
    refusal(
        "DS185",
        "AutoTP asks for more ranks than there are",
        _HERE,
        less(RANKS, TP_SIZE),
        ("AssertionError", "", ("tensor_parallel.autotp_size",)),
        "One layer is split over more ranks than run.",
        ev(
            "utils/groups.py",
            "220",
            "mesh_device = dist.initialize_mesh_device((data_parallel_size, tensor_model_parallel_size),",
            "tp/two-world-1",
        ),
        {"engine.tensor_parallel.autotp_size": 4, "fact.world_size": 2},
        {"engine.tensor_parallel.autotp_size": 2, "fact.world_size": 2},
        versions=since(TP_SINCE),
    ),
    refusal(
        "DS186",
        "data_types.buffer_dtype is no number format",
        "engine.model",
        all_of(
            any_of(truthy(FP16_ON), truthy(BF16_ON)),
            is_set(_BUFFER_DTYPE),
            no(is_a(_BUFFER_DTYPE, "null")),
            no_dtype(_BUFFER_DTYPE),
        ),
        dtype_error(_BUFFER_DTYPE, "data_types.buffer_dtype"),
        "DeepSpeed looks the format up by name.",
        ev(
            _ENGINE,
            "1847",
            "buffer_dtype = DtypeEnum(self._config.buffer_dtype).value",
            "kind/buffer-dtype-wrong",
        ),
        {"engine.data_types.buffer_dtype": "float8", "engine.bf16.enabled": True},
        {"engine.data_types.buffer_dtype": "float8"},
        versions=since(MIXED_SINCE),
    ),
)
