"""What would fail, or train something else, in every framework that stands on the Trainer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dsbridge.sdk import UNSET, Diagnostic, ParallelSpec, RenderRequest, dims, show
from dsbridge_trainer import codes

_OF_LORA = (
    *("rank", "alpha", "dropout", "target_modules", "use_rslora", "use_dora"),
    *("quantization_bits", "quantization_type", "double_quantization"),
)


def is_lora(spec: ParallelSpec) -> bool:
    """Whether adapters are trained: the method says so, or else a value that only they have."""
    tuning = spec.finetuning
    if tuning.method is not UNSET:
        return tuning.method in ("lora", "qlora")
    return any(getattr(tuning, name) is not UNSET for name in _OF_LORA)


def uses_fsdp(request: RenderRequest) -> bool:
    """Whether anything of `fsdp` is set; ZeRO then is not."""
    return any(path.startswith("fsdp.") for path in request.values)


def autotp(config: Mapping[str, Any], *, lora: bool) -> Iterator[Diagnostic]:
    """Tensor parallelism in a finished DeepSpeed config, with what it is known not to bear."""
    size = config.get("tensor_parallel", {}).get("autotp_size", 0)
    if size in (0, 1):
        return
    if config.get("zero_optimization", {}).get("stage") == 3:
        # transformers 5.23.0 integrations/deepspeed.py:355, 5.6.0 :343 NotImplementedError; deepspeed 0.18.4
        # runtime/engine.py:510 AssertionError
        yield codes.TP_ZERO3(
            f'`parallelism.tp: {size}` with `zero.stage: 3`: Transformers stops with "Weight conversions '
            '... with DeepSpeed Tensor Parallelism are not yet implemented"',
            hint="Write `zero.stage: 1` or 2 beside tp; or tp 1 with stage 3.",
            key="parallelism.tp",
        )
    if lora:
        # seen on two ranks: deepspeed 0.19.8 KeyError in runtime/zero/stage_1_and_2.py _create_param_mapping;
        # 0.18.4 "mat1 and mat2 shapes cannot be multiplied" in the first forward pass;
        # hiyouga/LlamaFactory issues 8206, 10140; modelscope/ms-swift 5217
        yield codes.TP_LORA(
            f"`parallelism.tp: {size}` with LoRA: AutoTP shards the layers inside the adapters and the "
            "shapes no longer fit (LLaMA-Factory issues 8206 and 10140)",
            hint="Write `finetuning.method: full`, or leave tp out and use ZeRO-3 with LoRA.",
            key="parallelism.tp",
        )


def under_fsdp(request: RenderRequest) -> Iterator[Diagnostic]:
    """What the spec asks of DeepSpeed although FSDP is chosen."""
    spec = request.spec
    for name in ("tp", "ulysses"):
        size = getattr(dims(spec), name)
        if size > 1:
            yield _needs_deepspeed(f"parallelism.{name}", size, f"Leave `{name}` out, or use `zero:`.")
    for name in ("optimizer", "scheduler"):
        if getattr(spec, name).owner == "deepspeed":
            yield _needs_deepspeed(f"{name}.owner", "deepspeed", f"Write `{name}.owner: framework`.")


def _needs_deepspeed(path: str, value: object, hint: str) -> Diagnostic:
    return codes.NEEDS_DEEPSPEED(f"`{path}: {show(value)}` under `fsdp:`", hint=hint, key=path)


def universal(spec: ParallelSpec) -> Iterator[Diagnostic]:
    """DeepSpeed reads the key; nobody makes the checkpoint that it then expects."""
    if spec.checkpoint.universal is True:
        yield codes.UNIVERSAL(
            "`checkpoint.universal: true`: resuming needs a universal checkpoint in the Trainer's folder",
            hint="Make it by `python -m deepspeed.checkpoint.ds_to_universal --inject_missing_state ...`.",
            key="checkpoint.universal",
        )
