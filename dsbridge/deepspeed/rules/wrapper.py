"""DeepSpeedEngine: the optimizer that is put around the basic one, and what it refuses."""

from __future__ import annotations

from typing import Any

from dsbridge.deepspeed.rules._make import (
    BF16_ALONE_SINCE,
    NEWEST,
    ev,
    param,
    refusal,
    since,
    until,
)
from dsbridge.deepspeed.rules.check import BF16_ON, STAGE, ZERO_READ
from dsbridge.deepspeed.rules.engine import MODEL_DTYPE
from dsbridge.deepspeed.rules.names import dtype_error, no_dtype
from dsbridge.deepspeed.rules.optimizer import DEVICE, HAS_OPTIMIZER, MADE_CLASS, OURS, PARAMS
from dsbridge.rulebook import (
    Expr,
    OverrideRule,
    all_of,
    any_of,
    children,
    choose,
    count,
    differs,
    eq,
    first_set,
    get,
    here,
    here_path,
    is_a,
    is_set,
    item,
    last_word,
    less,
    no,
    one_of,
    table,
    text,
    truthy,
)

_ENGINE = "runtime/engine.py"
_HERE = "engine.optimizer"
_GIVEN = get("engine.data_types.grad_accum_dtype")
ACCUM_GIVEN = all_of(is_set(_GIVEN), no(is_a(_GIVEN, "null")))
_FORMATS = {
    **dict.fromkeys(["torch.float16", "fp16", "float16", "half"], "float16"),
    **dict.fromkeys(["torch.bfloat16", "bf16", "bfloat16"], "bfloat16"),
    **dict.fromkeys(["torch.float32", "fp32", "float32", "float"], "float32"),
    **dict.fromkeys(["torch.int8", "int8"], "int8"),
}
ACCUM = choose(ACCUM_GIVEN, item(_FORMATS, _GIVEN), MODEL_DTYPE)
# before 0.17.6 bf16 without ZeRO added up in fp32
OLD_ACCUM = choose(
    ACCUM_GIVEN,
    item(_FORMATS, _GIVEN),
    choose(all_of(eq(MODEL_DTYPE, "bfloat16"), eq(STAGE, 0)), "float32", MODEL_DTYPE),
)
_ZERO = less(0, STAGE)
# stage 1 with bf16 parameters and fp32 gradients has an optimizer of its own
BF16_WRAPPER = all_of(
    HAS_OPTIMIZER,
    eq(STAGE, 1),
    eq(MODEL_DTYPE, "bfloat16"),
    eq(ACCUM, "float32"),
    differs(DEVICE, "cpu"),
)
_UNTESTED = (
    'You are using an untested ZeRO Optimizer. Please add <"zero_allow_untested_optimizer": true> in the '
    "configuration file to use it."
)
NORM_OFF = eq(item(ZERO_READ, "compute_grad_norm"), False)
_NORM_BF16 = (
    "zero_optimization.compute_grad_norm=false does not support ZeRO Stage 1 with BF16 parameters and FP32 "
    "gradient accumulation"
)
NORM_FIELD = "zero_optimization.compute_grad_norm"


def engine_row(
    code: str,
    title: str,
    when: Expr,
    error: tuple[Any, Any, Any],
    why: str,
    where: tuple[str, str, str, str],
    fires: dict[str, Any],
    holds: dict[str, Any],
    **more: Any,
) -> OverrideRule:
    file, line, quote, recorded = where
    version = more.pop("version", NEWEST)
    return refusal(
        code, title, _HERE, when, error, why, ev(file, line, quote, recorded, version), fires, holds, **more
    )


_BF16_FP32 = all_of(eq(MODEL_DTYPE, "bfloat16"), eq(ACCUM, "float32"), table("deepspeed.bf16_fp32_alone"))
_MIX = "unsupported mix of model_dtype=torch.{} and grad_accum_dtype=torch.{}"
_MIX_FIELDS = ("data_types.grad_accum_dtype",)
_OLD_BF16 = (
    "Bfloat16 wrapper must use a gradient accumulation type of fp32, enable ZeRO to use Bfloat16 gradient "
    "accumulation"
)
_BASE = {"engine.optimizer.type": "AdamW", "engine.bf16.enabled": True}
CHOICE = (
    engine_row(
        "DS193",
        "data_types.grad_accum_dtype is no number format",
        all_of(any_of(HAS_OPTIMIZER, _ZERO, truthy(BF16_ON)), ACCUM_GIVEN, no_dtype(_GIVEN)),
        dtype_error(_GIVEN, "data_types.grad_accum_dtype"),
        "DeepSpeed looks the format up by name.",
        (
            _ENGINE,
            "1809",
            "grad_accum_dtype = DtypeEnum(self._config.grad_accum_dtype).value",
            "precision/accum-wrong",
        ),
        {**_BASE, "engine.data_types.grad_accum_dtype": "float8"},
        {**_BASE, "engine.data_types.grad_accum_dtype": "fp32"},
        hint="Write fp32, bf16 or fp16.",
    ),
    engine_row(
        "DS194",
        "an optimizer that ZeRO was not tested with",
        all_of(
            _ZERO,
            HAS_OPTIMIZER,
            no(one_of(MADE_CLASS, table("deepspeed.zero_optimizers"))),
            no(truthy(param("zero_allow_untested_optimizer", False))),
        ),
        ("AssertionError", _UNTESTED, ("zero_allow_untested_optimizer", "optimizer.type")),
        "ZeRO partitions the states of Adam, AdamW, Adagrad and its own optimizers; others at your own risk.",
        (_ENGINE, "2301", "You are using an untested ZeRO Optimizer. Please add", "optimizer/sgd"),
        {"engine.optimizer.type": "SGD", "engine.zero_optimization.stage": 2},
        {"engine.optimizer.type": "AdamW", "engine.zero_optimization.stage": 2},
        hint="Write zero_allow_untested_optimizer: true.",
    ),
    engine_row(
        "DS195",
        "no gradient norm at stage 1 with bf16 and fp32 gradients",
        all_of(BF16_WRAPPER, NORM_OFF),
        ("ValueError", _NORM_BF16, (NORM_FIELD, "data_types.grad_accum_dtype")),
        "That pair has an optimizer of its own, which needs the norm.",
        (
            _ENGINE,
            "2308",
            "zero_optimization.compute_grad_norm=false does not support ZeRO Stage 1 with",
            "wrapper/grad-norm-off-stage-1",
        ),
        {
            **_BASE,
            "engine.data_types.grad_accum_dtype": "fp32",
            "engine.zero_optimization": {"stage": 1, "compute_grad_norm": False},
        },
        {**_BASE, "engine.zero_optimization": {"stage": 1, "compute_grad_norm": False}},
    ),
    engine_row(
        "DS196",
        "gradients in another format without ZeRO",
        all_of(HAS_OPTIMIZER, eq(STAGE, 0), differs(MODEL_DTYPE, ACCUM), no(_BF16_FP32)),
        ("NotImplementedError", text(_MIX, MODEL_DTYPE, ACCUM), _MIX_FIELDS),
        "Only ZeRO's optimizers keep gradients in a format of their own.",
        (
            _ENGINE,
            "2323",
            'raise NotImplementedError(f"unsupported mix of {model_dtype=}',
            "precision/bf16-accum-fp32-stage-0",
        ),
        {**_BASE, "engine.data_types.grad_accum_dtype": "fp32"},
        {**_BASE, "engine.data_types.grad_accum_dtype": "bf16"},
        versions=since(BF16_ALONE_SINCE),
        hint="Use ZeRO stage 1, or leave data_types out.",
    ),
    engine_row(
        "DS197",
        "bf16 gradients without ZeRO",
        all_of(HAS_OPTIMIZER, eq(STAGE, 0), eq(MODEL_DTYPE, "bfloat16"), eq(OLD_ACCUM, "bfloat16")),
        ("NotImplementedError", _OLD_BF16, _MIX_FIELDS),
        "Before 0.17.6 bf16 without ZeRO adds up in fp32.",
        (
            _ENGINE,
            "1271",
            "Bfloat16 wrapper must use a gradient accumulation type of fp32",
            "wrapper/stage-0-accum-bf16",
        ),
        {**_BASE, "engine.data_types.grad_accum_dtype": "bf16"},
        {**_BASE, "engine.data_types.grad_accum_dtype": "fp32"},
        versions=until(BF16_ALONE_SINCE),
        version="0.16.2",
    ),
    engine_row(
        "DS198",
        "gradients in another format without ZeRO",
        all_of(
            HAS_OPTIMIZER,
            eq(STAGE, 0),
            differs(MODEL_DTYPE, OLD_ACCUM),
            no(all_of(eq(MODEL_DTYPE, "bfloat16"), eq(OLD_ACCUM, "float32"))),
        ),
        ("NotImplementedError", "unsupported mix of model dtype and gradient accumulation type", _MIX_FIELDS),
        "Only ZeRO's optimizers keep gradients in a format of their own.",
        (
            _ENGINE,
            "1279",
            "unsupported mix of model dtype and gradient accumulation type",
            "wrapper/stage-0-fp32-accum-bf16",
        ),
        {"engine.optimizer.type": "AdamW", "engine.data_types.grad_accum_dtype": "bf16"},
        {"engine.optimizer.type": "AdamW"},
        versions=until(BF16_ALONE_SINCE),
        version="0.16.2",
    ),
)


# FP16_Optimizer makes one step of FusedAdam at once, to make room for its states.
_STEPS = all_of(
    OURS,
    any_of(eq(STAGE, 0), all_of(BF16_WRAPPER, table("deepspeed.bf16_fp32_alone"))),
    eq(MADE_CLASS, "deepspeed.FusedAdam"),
    differs(MODEL_DTYPE, "float32"),
)
_BETAS = item(PARAMS, "betas")
_COUNT = count(choose(is_a(_BETAS, "str", "list"), _BETAS, [0, 0]))
_TEXTS = children(
    "engine.optimizer.params",
    all_of(one_of(last_word(here_path()), ["lr", "eps", "weight_decay"]), no(is_a(here(), "number", "bool"))),
)
_APPLY = "ops/adam/multi_tensor_apply.py"
STEP = (
    engine_row(
        "DS272",
        "FusedAdam takes two betas",
        all_of(_STEPS, differs(_COUNT, 2)),
        (
            "ValueError",
            choose(
                less(2, _COUNT),
                "too many values to unpack (expected 2)",
                text("not enough values to unpack (expected 2, got {})", _COUNT),
            ),
            ("optimizer.params.betas",),
        ),
        'Without ZeRO the first step is made at once; nobody fills an "auto" here.',
        ("ops/adam/fused_adam.py", "128", "beta1, beta2 = group['betas']", "optimizer/stage-0-betas-auto"),
        {**_BASE, "engine.optimizer.params.betas": "auto"},
        {**_BASE, "engine.optimizer.params.betas": [0.9, 0.95]},
        versions=since(BF16_ALONE_SINCE),
        hint="Write [0.9, 0.999].",
    ),
    engine_row(
        "DS273",
        "FusedAdam takes numbers only",
        all_of(_STEPS, truthy(_TEXTS)),
        ("TypeError", "multi_tensor_adam(): incompatible function arguments.…", ("optimizer.params",)),
        'Without ZeRO the first step is made at once; nobody fills an "auto" here.',
        (
            "ops/adam/multi_tensor_apply.py",
            "17",
            "return op(self.chunk_size, noop_flag_buffer,",
            "optimizer/stage-0-lr-auto",
        ),
        {**_BASE, "engine.optimizer.params.lr": "auto"},
        {**_BASE, "engine.optimizer.params.lr": 0.1},
        versions=since(BF16_ALONE_SINCE),
        hint="Write numbers.",
    ),
    engine_row(
        "DS274",
        "FusedAdam takes numbers only, in fp16",
        all_of(_STEPS, eq(MODEL_DTYPE, "float16"), truthy(_TEXTS)),
        ("TypeError", "multi_tensor_adam(): incompatible function arguments.…", ("optimizer.params",)),
        "Without ZeRO the first step in fp16 is made at once; text is no number.",
        (
            "ops/adam/multi_tensor_apply.py",
            "17",
            "return op(self.chunk_size, noop_flag_buffer,",
            "../llamafactory/seed14-023",
        ),
        {**_BASE, "engine.fp16.enabled": True, "engine.optimizer.params.lr": "3e-4"},
        {**_BASE, "engine.fp16.enabled": True, "engine.optimizer.params.lr": 0.1},
        versions=until(BF16_ALONE_SINCE),
        version="0.16.9",
        hint="Write numbers.",
    ),
)


def _wrapper(accum: Expr, own: Expr | str = "") -> Expr:
    fused = choose(
        eq(MADE_CLASS, "deepspeed.FusedAdam"), "deepspeed.FP16_Optimizer", "deepspeed.FP16_UnfusedOptimizer"
    )
    # from 0.17.6 to 0.18.4 two wrappers had one name, and the first was taken
    bf16 = fused if own else "deepspeed.BF16_Optimizer"
    mics = less(0, first_set(item(ZERO_READ, "mics_shard_size"), -1))
    third = choose(mics, "deepspeed.MiCS_Optimizer", "deepspeed.DeepSpeedZeroOptimizer_Stage3")
    zero = choose(eq(STAGE, 3), third, "deepspeed.DeepSpeedZeroOptimizer")
    alone = choose(
        eq(MODEL_DTYPE, "float32"),
        MADE_CLASS,
        choose(all_of(eq(MODEL_DTYPE, "bfloat16"), eq(accum, "float32")), bf16, fused),
    )
    made = choose(BF16_WRAPPER, bf16, choose(_ZERO, zero, alone))
    without = choose(
        eq(STAGE, 3),
        "deepspeed.DeepSpeedZeRoOffload",
        choose(truthy(BF16_ON), "deepspeed.BF16_Optimizer", None),
    )
    return choose(HAS_OPTIMIZER, made, without)


WRAPPER, MIXED_WRAPPER, OLD_WRAPPER = _wrapper(ACCUM), _wrapper(ACCUM, "fp16"), _wrapper(OLD_ACCUM)
