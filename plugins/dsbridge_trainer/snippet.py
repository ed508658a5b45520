"""The few lines of Python that hand the rendered arguments to a Trainer."""

from __future__ import annotations

import json
from typing import Any

from dsbridge.sdk import UNSET, ParallelSpec, RenderRequest, dims
from dsbridge_trainer import ulysses
from dsbridge_trainer.refusals import is_lora

_TORCH = {"bf16": "bfloat16", "fp16": "float16"}
ADAPTER = {
    "rank": "r",
    "alpha": "lora_alpha",
    "dropout": "lora_dropout",
    "target_modules": "target_modules",
    "use_rslora": "use_rslora",
    "use_dora": "use_dora",
}


# what a trainer of TRL's needs besides the model, the arguments and the rows
_MORE = {"GRPO": "reward_funcs=..., ", "RLOO": "reward_funcs=..., "}


def snippet(request: RenderRequest, arguments: str, kind: str = "") -> str:
    """`train_snippet.py`: arguments first, then the model, so that ZeRO-3 splits it while it loads.

    kind: TRL's class of arguments, if it is one.
    """
    spec = request.spec
    adapts = is_lora(spec)
    trainer = f"{kind.removesuffix('Config')}Trainer"
    more = _MORE.get(kind.removesuffix("Config"), "")
    if kind and adapts:  # its trainers wrap the model themselves
        more, adapts = f"{more}peft_config={adapter_line(spec)}, ", False
    lines = [
        f"# {request.header()}",
        "# For your script, in this order: with ZeRO-3 the arguments make from_pretrained split the weights.",
        "import json",
        "",
        *_imports(spec, kind),
        "",
        f'with open({_quoted(arguments)}, encoding="utf-8") as file:',
        f"    args = {kind or 'TrainingArguments'}(**json.load(file))",
        f"model = {model_line(spec)}",
        *([f"model = get_peft_model(model, {adapter_line(spec)})"] if adapts else []),
        f"trainer = {trainer}(model=model, args=args, {more}train_dataset=...)  # your data",
        "trainer.train()",
    ]
    return "\n".join(lines) + "\n"


def _imports(spec: ParallelSpec, kind: str) -> list[str]:
    names = ["AutoModelForCausalLM", *([] if kind else ["Trainer", "TrainingArguments"])]
    if quantized(spec):
        names.insert(1, "BitsAndBytesConfig")
    wraps = "LoraConfig" if kind else "LoraConfig, get_peft_model"
    peft = [f"from peft import {wraps}"] if is_lora(spec) else []
    trl = [f"from trl import {kind}, {kind.removesuffix('Config')}Trainer"] if kind else []
    return [*peft, f"from transformers import {', '.join(names)}", *trl]


def model_line(spec: ParallelSpec) -> str:
    """The call that loads the model; `...` where the spec names none."""
    model = spec.model
    words = ["..." if model.name_or_path is UNSET else _quoted(model.name_or_path)]
    if model.trust_remote_code is not UNSET:
        words.append(f"trust_remote_code={model.trust_remote_code!r}")
    kind = ulysses.attention(spec) if dims(spec).ulysses > 1 else model.attention
    if kind is not UNSET:
        words.append(f"attn_implementation={_quoted(kind)}")
    if quantized(spec):
        words.append(f"quantization_config={_quantization(spec)}")
    return f"AutoModelForCausalLM.from_pretrained({', '.join(words)})"


def adapter_line(spec: ParallelSpec) -> str:
    """`LoraConfig(...)` of PEFT, with what the spec says of it."""
    words: dict[str, Any] = {"task_type": "CAUSAL_LM"}
    for name, key in ADAPTER.items():
        value = getattr(spec.finetuning, name)
        if value is not UNSET:
            words[key] = (
                "all-linear" if value == "all" else list(value) if isinstance(value, tuple) else value
            )
    return f"LoraConfig({', '.join(f'{k}={_quoted(v)}' for k, v in words.items())})"


def quantized(spec: ParallelSpec) -> bool:
    """Whether the frozen weights are to be quantised."""
    return spec.finetuning.method == "qlora" or spec.finetuning.quantization_bits is not UNSET


def _quantization(spec: ParallelSpec) -> str:
    tuning = spec.finetuning
    if tuning.quantization_bits == 8:
        return "BitsAndBytesConfig(load_in_8bit=True)"
    words: dict[str, Any] = {"load_in_4bit": True}
    more = {
        "bnb_4bit_quant_type": tuning.quantization_type,
        "bnb_4bit_use_double_quant": tuning.double_quantization,
    }
    words |= {key: value for key, value in more.items() if value is not UNSET}
    if spec.precision.dtype in _TORCH:
        # stored in the training dtype, so that ZeRO-3 and FSDP can split the weights too
        dtype = _TORCH[str(spec.precision.dtype)]
        words |= {"bnb_4bit_compute_dtype": dtype, "bnb_4bit_quant_storage": dtype}
    return f"BitsAndBytesConfig({', '.join(f'{k}={_quoted(v)}' for k, v in words.items())})"


def _quoted(value: Any) -> str:
    """A Python literal, strings in double quotes."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str | list) else repr(value)
