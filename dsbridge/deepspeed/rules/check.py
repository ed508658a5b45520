"""DeepSpeedConfig's last checks: what does not go together; then what its scalars are worth."""

from __future__ import annotations

from dsbridge.deepspeed.rules._make import MASTER_SINCE, NEWEST, ev, refusal, since, until, write
from dsbridge.deepspeed.rules.blocks import BF16, FP16, ZERO, read
from dsbridge.rulebook import (
    Expr,
    OverrideRule,
    all_of,
    differs,
    eq,
    first_set,
    get,
    is_a,
    is_set,
    item,
    lower,
    no,
    one_of,
    table,
    text,
    trouble,
    truthy,
    type_name,
)

_CODE, _ENGINE = "runtime/config.py", "runtime/engine.py"
ZERO_READ, FP16_READ, BF16_READ = read(ZERO, "zero_optimization"), read(FP16, "fp16"), read(BF16, "bf16")
STAGE = item(ZERO_READ, "stage")
FP16_ON, BF16_ON = item(FP16_READ, "enabled"), item(BF16_READ, "enabled")
_PARAMS = get("engine.optimizer.params")
_NAMED = no(is_a(first_set(get("engine.optimizer.type"), None), "null"))
_CLIP = trouble(">", get("engine.optimizer.params.max_grad_norm"), 0)
_VOCABULARY = trouble("%", get("engine.vocabulary_size"), 8)


def _needs_stage(code: str, field: str, on: Expr, message: str, recorded: str) -> OverrideRule:
    return refusal(
        code,
        f"{field} needs ZeRO",
        "config.check",
        all_of(truthy(on), no(one_of(STAGE, [1, 2, 3]))),
        ("AssertionError", message, (field, "zero_optimization.stage")),
        "Without ZeRO there is no optimizer that keeps 16-bit master weights.",
        ev(_CODE, "702-714", message, recorded),
        {f"engine.{field}": True, "engine.zero_optimization.stage": 0},
        {f"engine.{field}": True, "engine.zero_optimization.stage": 2},
        versions=since(MASTER_SINCE),
        hint="Write zero_optimization.stage: 2.",
    )


_FP16_MASTER = item(FP16_READ, "fp16_master_weights_and_grads")
_BF16_MASTER = item(BF16_READ, "bf16_master_weights_and_grads")
_STATES = item(BF16_READ, "bf16_optimizer_states")
_ONLY_2 = "Fp16_master_weights_and_grads is only supported with ZeRO Stage 2 for now."
_STATES_ALONE = "bf16_optimizer_states requires bf16_master_weights_and_grads to be enabled."
_SUM = get("engine.gradient_allreduce_op")
CHECKS = (
    refusal(
        "DS160",
        "gradients cannot be added up at stage 3",
        "config.check",
        all_of(is_a(_SUM, "str"), eq(lower(_SUM), "sum"), eq(STAGE, 3)),
        (
            "ValueError",
            "gradient_allreduce_op='sum' is not supported with ZeRO stage 3",
            ("gradient_allreduce_op", "zero_optimization.stage"),
        ),
        "ZeRO-3 averages.",
        ev(_CODE, "696", 'is not supported with ZeRO stage 3")', "wrapper/allreduce-sum-stage-3"),
        {"engine.gradient_allreduce_op": "sum", "engine.zero_optimization.stage": 3},
        {"engine.gradient_allreduce_op": "sum", "engine.zero_optimization.stage": 2},
        versions=since(NEWEST),
    ),
    refusal(
        "DS161",
        "fp16 master weights need ZeRO-2",
        "config.check",
        all_of(truthy(FP16_ON), truthy(_FP16_MASTER), differs(STAGE, 2)),
        ("AssertionError", _ONLY_2, ("fp16.fp16_master_weights_and_grads", "zero_optimization.stage")),
        "Before 0.18 only ZeRO-2 keeps 16-bit master weights.",
        ev(_CODE, "1020", _ONLY_2, "wrapper/fp16-master-stage-0", "0.16.2"),
        {
            "engine.fp16.enabled": True,
            "engine.fp16.fp16_master_weights_and_grads": True,
            "engine.zero_optimization.stage": 0,
        },
        {
            "engine.fp16.enabled": True,
            "engine.fp16.fp16_master_weights_and_grads": True,
            "engine.zero_optimization.stage": 2,
        },
        versions=until(MASTER_SINCE),
        hint="Write zero_optimization.stage: 2.",
    ),
    _needs_stage(
        "DS162",
        "fp16.fp16_master_weights_and_grads",
        _FP16_MASTER,
        "Fp16_master_weights_and_grads is only supported with ZeRO Stage 1, 2, or 3.",
        "wrapper/fp16-master-stage-0",
    ),
    _needs_stage(
        "DS163",
        "bf16.bf16_master_weights_and_grads",
        _BF16_MASTER,
        "Bf16_master_weights_and_grads is only supported with ZeRO Stage 1, 2, or 3.",
        "precision/bf16-master-stage-0",
    ),
    _needs_stage(
        "DS164",
        "bf16.bf16_optimizer_states",
        _STATES,
        "bf16_optimizer_states is only supported with ZeRO Stage 1, 2, or 3.",
        "wrapper/bf16-states-stage-0",
    ),
    refusal(
        "DS165",
        "bf16_optimizer_states needs bf16_master_weights_and_grads",
        "config.check",
        all_of(truthy(_STATES), no(truthy(_BF16_MASTER))),
        (
            "AssertionError",
            _STATES_ALONE,
            ("bf16.bf16_optimizer_states", "bf16.bf16_master_weights_and_grads"),
        ),
        "Optimizer states follow the master weights' format.",
        ev(_CODE, "714", _STATES_ALONE, "precision/bf16-states-alone"),
        {"engine.bf16.bf16_optimizer_states": True},
        {"engine.bf16.bf16_optimizer_states": True, "engine.bf16.bf16_master_weights_and_grads": True},
        versions=since(MASTER_SINCE),
    ),
    refusal(
        "DS166",
        "vocabulary_size must be a number",
        "config.check",
        all_of(truthy(get("engine.vocabulary_size")), is_set(_VOCABULARY)),
        (item(_VOCABULARY, "type"), item(_VOCABULARY, "message"), ("vocabulary_size",)),
        "DeepSpeed looks whether tensor cores like the size.",
        ev(
            _CODE,
            "718",
            "if vocabulary_size and vocabulary_size % TENSOR_CORE_ALIGN_SIZE != 0:",
            "scalar/vocabulary-text",
        ),
        {"engine.vocabulary_size": "large"},
        {"engine.vocabulary_size": 32000},
    ),
    refusal(
        "DS167",
        "optimizer.params must be a mapping",
        "config.check",
        all_of(_NAMED, is_set(_PARAMS), no(is_a(_PARAMS, "dict", "null"))),
        (
            "AttributeError",
            text("'{}' object has no attribute 'keys'", type_name(_PARAMS)),
            ("optimizer.params",),
        ),
        "DeepSpeed asks the parameters for their keys.",
        ev(
            _CODE,
            "723",
            "if (self.optimizer_params is not None and MAX_GRAD_NORM in self.optimizer_params.keys()",
            "kind/optimizer-params-word",
        ),
        {"engine.optimizer.type": "AdamW", "engine.optimizer.params": "x"},
        {"engine.optimizer.type": "AdamW", "engine.optimizer.params": {}},
    ),
    refusal(
        "DS168",
        "optimizer.params.max_grad_norm must be a number",
        "config.check",
        all_of(_NAMED, is_set(get("engine.optimizer.params.max_grad_norm")), is_set(_CLIP)),
        ("TypeError", item(_CLIP, "message"), ("optimizer.params.max_grad_norm",)),
        "DeepSpeed compares it with 0, to warn that it belongs to gradient_clipping.",
        ev(_CODE, "724", "and self.optimizer_params[MAX_GRAD_NORM] > 0):", "kind/optimizer-clip-auto"),
        {"engine.optimizer.type": "AdamW", "engine.optimizer.params.max_grad_norm": "auto"},
        {"engine.optimizer.type": "AdamW", "engine.optimizer.params.max_grad_norm": 1.0},
        hint="Write gradient_clipping instead.",
    ),
)


def _made(
    code: str, name: str, value: object, why: str, recorded: str, quote: str, key: str, sample: object
) -> OverrideRule:
    return write(
        code,
        f"the engine's {name}",
        "config.check",
        is_set(get("engine")),
        f"made.{name}",
        value,
        why,
        ev(_CODE, "480-512", quote, recorded),
        {key: sample},
        {},
    )


MADE = (
    _made(
        "DS170",
        "zero_stage",
        STAGE,
        'A missing stage, and a leftover "auto", is 0.',
        "zero/stage-auto",
        "self.zero_optimization_stage = self.zero_config.stage",
        "engine.zero_optimization.stage",
        2,
    ),
    _made(
        "DS171",
        "fp16",
        FP16_ON,
        'A block without `enabled`, or with a leftover "auto", is off.',
        "precision/fp16-auto-bf16",
        "self.float16_config = get_float16_config(param_dict)",
        "engine.fp16.enabled",
        True,
    ),
    _made(
        "DS172",
        "bf16",
        BF16_ON,
        'A block without `enabled`, or with a leftover "auto", is off.',
        "precision/bf16-auto",
        "self.bfloat16_config = get_bfloat16_config(param_dict)",
        "engine.bf16.enabled",
        True,
    ),
    _made(
        "DS173",
        "gradient_clipping",
        first_set(get("engine.gradient_clipping"), item(table("deepspeed.defaults"), "gradient_clipping")),
        "A missing value is 1.0 from 0.19.3 on, and was 0.0 (off) before.",
        "scalar/unknown-key",
        "self.gradient_clipping = get_gradient_clipping(param_dict)",
        "engine.gradient_clipping",
        0.5,
    ),
)
