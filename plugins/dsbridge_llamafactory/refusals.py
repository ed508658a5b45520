"""What LLaMA-Factory itself refuses, told before the launch. Each reads the finished training YAML."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from dsbridge.sdk import Diagnostic, RenderRequest
from dsbridge_llamafactory import codes


class Sharding(NamedTuple):
    """What of the parallelism matters to LLaMA-Factory's own checks."""

    stage: object  # ZeRO's stage, as the spec has it
    fsdp: bool

    @property
    def splits_weights(self) -> bool:
        return self.fsdp or self.stage == 3

    @property
    def words(self) -> str:
        return "FSDP" if self.fsdp else f"`zero.stage: {self.stage}`"


def refusals(request: RenderRequest, keys: Mapping[str, Any], sharding: Sharding) -> Iterator[Diagnostic]:
    """Every finding over the finished keys."""
    yield from _required(request, keys)
    for check in _CHECKS:
        yield from check(keys, sharding)


def _required(request: RenderRequest, keys: Mapping[str, Any]) -> Iterator[Diagnostic]:
    """0.9.5 hparams/model_args.py:172, parser.py:332 "Please specify dataset for training."."""
    if not keys.get("model_name_or_path"):
        hint = "Give `model.name_or_path`."
        yield codes.REQUIRED("LLaMA-Factory needs a model", hint=hint, key="model.name_or_path")
    if keys.get("do_train") is not False and not keys.get("dataset"):
        yield codes.REQUIRED(
            "LLaMA-Factory needs a data set",
            hint="Give `frameworks: {llamafactory: {dataset: alpaca_en_demo, template: qwen}}`.",
            key="frameworks.llamafactory",
        )
    # parser.py:336; TrainingArguments switches do_eval on with eval_strategy
    evaluates = keys.get("do_eval") is True or keys.get("eval_strategy", "no") != "no"
    if evaluates and not keys.get("eval_dataset") and not keys.get("val_size"):
        yield codes.EVAL_DATA(
            "evaluation is asked for, but there is nothing to evaluate on",
            hint="Give `frameworks: {llamafactory: {val_size: 0.1}}`, or `eval_dataset`.",
            key="training.eval_steps",
        )


def _quantization(keys: Mapping[str, Any], sharding: Sharding) -> Iterator[Diagnostic]:
    bits = keys.get("quantization_bit")
    if bits is None:
        return
    method = str(keys.get("quantization_method", "bnb")).lower()
    # parser.py:173
    if keys.get("finetuning_type", "lora") not in ("lora", "oft"):
        yield _quantized(
            f"{bits}-bit quantization with `finetuning_type: {keys['finetuning_type']}` is refused: it is "
            "only compatible with LoRA or OFT",
            "Write `finetuning.method: qlora`.",
        )
    # model/model_utils/quantization.py:177-210
    if sharding.splits_weights and method in ("bnb", "bitsandbytes") and bits != 4:
        yield _quantized(
            f"{bits}-bit quantization with {sharding.words} is refused: only 4-bit weights can be split",
            "Write `finetuning.quantization_bits: 4`, or `zero.stage: 2`.",
        )
    if sharding.splits_weights and method in ("hqq", "eetq"):
        yield _quantized(
            f"{method.upper()} quantization with {sharding.words} is refused",
            "Use bitsandbytes (remove `quantization_method`), or `zero.stage: 2`.",
        )
    # parser.py:390
    if keys.get("fp8") is True:
        yield _quantized("fp8 training with quantization", "Write `precision.dtype: bf16`.")


def _quantized(message: str, hint: str) -> Diagnostic:
    return codes.QUANTIZATION(message, hint=hint, key="finetuning.quantization_bits")


def _optimizers(keys: Mapping[str, Any], sharding: Sharding) -> Iterator[Diagnostic]:
    """parser.py:367-385: GaLore, APOLLO, BAdam; and Muon, which LLaMA-Factory lets through."""
    for name in ("use_galore", "use_apollo"):
        if keys.get(name) and not sharding.fsdp:
            yield _mixed(name, "is incompatible with DeepSpeed", "Use `fsdp:` in place of `zero:`.")
    if keys.get("use_badam") and (keys.get("badam_mode") == "ratio" or sharding.stage != 3):
        yield _mixed("use_badam", "needs ZeRO-3 and the layer mode", "Write `zero.stage: 3`.")
    if keys.get("use_muon") and sharding.stage in (1, 2, 3):
        # third_party/muon/muon.py:129 keeps to 2D parameters; ZeRO's optimizer steps flat pieces of them
        yield codes.MUON(
            f"Muon with `zero.stage: {sharding.stage}`: ZeRO gives its optimizer flat pieces, not matrices",
            hint="Write `optimizer.owner: deepspeed`, `zero.stage: 0`, or another optimizer.",
            key="optimizer.type",
        )


def _mixed(name: str, what: str, hint: str) -> Diagnostic:
    key = f"frameworks.llamafactory.{name}"
    return codes.OPTIMIZER_MIX(f"`{name}: true` {what}", hint=hint, key=key)


def _methods(keys: Mapping[str, Any], sharding: Sharding) -> Iterator[Diagnostic]:
    """parser.py:349-397, hparams/finetuning_args.py:530-551."""
    kind = keys.get("finetuning_type", "lora")
    if kind != "lora":
        for name in ("use_rslora", "use_dora", "pissa_init", "loraplus_lr_ratio"):
            if keys.get(name):
                yield _tuning(f"`{name}` is only valid for LoRA", "Write `finetuning.method: lora`.")
    if sharding.stage == 3:
        for name in ("pure_bf16", "predict_with_generate", "pissa_init", "use_unsloth", "use_kt"):
            if keys.get(name):
                yield _tuning(f"`{name}` is refused with `zero.stage: 3`", "Remove it, or use stage 2.")
    if keys.get("lora_alpha") == 0:
        # hparams/finetuning_args.py:490 `self.lora_alpha or self.lora_rank * 2`
        message = "`lora_alpha: 0` is read as not given, and becomes twice the rank"
        yield _tuning(message, "Give an alpha above 0.")


def _tuning(message: str, hint: str) -> Diagnostic:
    return codes.TUNING(message, hint=hint, key="finetuning")


_CHECKS: tuple[Callable[[Mapping[str, Any], Sharding], Iterator[Diagnostic]], ...] = (
    _quantization,
    _optimizers,
    _methods,
)
