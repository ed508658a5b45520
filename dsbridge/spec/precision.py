"""Number formats of parameters, gradients and communication."""

from __future__ import annotations

from dsbridge.spec.kinds import Boolean, Choice, Integer, Number
from dsbridge.spec.setting import Part, section, setting
from dsbridge.values import Option, Setting

DTYPES = ("fp32", "fp16", "bf16")


class Fp16(Part):
    """Loss scaling and the details of fp16 training."""

    loss_scale: Setting[float] = setting(
        Number(least=0),
        "Fixed loss scale; 0 means dynamic.",
        "fp16.loss_scale",
        "deepspeed/runtime/precision_config.py",
    )
    initial_scale_power: Setting[int] = setting(
        Integer(least=0),
        "First dynamic loss scale, as a power of 2.",
        "fp16.initial_scale_power",
        "deepspeed/runtime/precision_config.py",
    )
    loss_scale_window: Setting[int] = setting(
        Integer(least=1),
        "Steps without overflow before the scale is doubled.",
        "fp16.loss_scale_window",
        "deepspeed/runtime/precision_config.py",
    )
    hysteresis: Setting[int] = setting(
        Integer(least=0),
        "Overflows that are let pass before the scale is halved.",
        "fp16.hysteresis",
        "deepspeed/runtime/precision_config.py",
    )
    consecutive_hysteresis: Setting[bool] = setting(
        Boolean(),
        "Refill the hysteresis at every step that does not overflow.",
        "fp16.consecutive_hysteresis",
        "deepspeed/runtime/precision_config.py",
    )
    min_loss_scale: Setting[int] = setting(
        Integer(least=0),
        "Smallest dynamic loss scale.",
        "fp16.min_loss_scale",
        "deepspeed/runtime/precision_config.py",
    )
    auto_cast: Setting[bool] = setting(
        Boolean(),
        "Cast the inputs of the model to fp16.",
        "fp16.auto_cast",
        "deepspeed/runtime/precision_config.py",
    )
    fp16_master_weights_and_grads: Setting[bool] = setting(
        Boolean(),
        "Keep master weights and gradients in fp16 too (ZeRO-2 with CPU offload).",
        "fp16.fp16_master_weights_and_grads",
        "deepspeed/runtime/precision_config.py",
    )


class Bf16(Part):
    """The details of bf16 training."""

    immediate_grad_update: Setting[bool] = setting(
        Boolean(),
        "Add each gradient to the fp32 one as soon as it is made.",
        "bf16.immediate_grad_update",
        "deepspeed/runtime/precision_config.py",
    )
    check_grad_overflow: Setting[bool] = setting(
        Boolean(),
        "Look for infinite gradients and skip such steps.",
        "bf16.check_grad_overflow",
        "deepspeed/runtime/precision_config.py",
    )
    bf16_master_weights_and_grads: Setting[bool] = setting(
        Boolean(),
        "Keep master weights and gradients in bf16 too.",
        "bf16.bf16_master_weights_and_grads",
        "deepspeed/runtime/precision_config.py",
    )
    bf16_optimizer_states: Setting[bool] = setting(
        Boolean(),
        "Keep the optimizer's states in bf16 too.",
        "bf16.bf16_optimizer_states",
        "deepspeed/runtime/precision_config.py",
    )


class Precision(Part):
    """Number formats; fp16 and bf16 exclude each other."""

    dtype: Setting[str] = setting(
        Choice(options=("fp32", "fp16", "bf16", "fp8")),
        "Format of the model's weights and activations in training; master weights stay fp32.",
        "bf16.enabled, fp16.enabled",
        "deepspeed/runtime/precision_config.py",
    )
    fp16: Fp16 = section(Fp16, "Only with dtype fp16.")
    bf16: Bf16 = section(Bf16, "Only with dtype bf16.")
    fp8_backend: Option[str] = setting(
        Choice(auto=False, options=("te", "ao", "msamp")),
        "Library for fp8: TransformerEngine, torchao or MS-AMP.",
        "",
        "accelerate/utils/dataclasses.py",
    )
    communication_dtype: Setting[str] = setting(
        Choice(options=DTYPES),
        "Format of gradients on the wire; the training dtype unless given.",
        "communication_data_type",
        "deepspeed/runtime/config.py",
    )
    seq_parallel_communication_dtype: Setting[str] = setting(
        Choice(options=DTYPES),
        "Format of gradients on the wire between ulysses ranks; fp32 unless given.",
        "seq_parallel_communication_data_type",
        "deepspeed/runtime/config.py",
    )
    grad_accumulation_dtype: Setting[str] = setting(
        Choice(options=DTYPES),
        "Format in which gradients are summed over micro-steps.",
        "data_types.grad_accum_dtype",
        "deepspeed/runtime/config.py",
    )
