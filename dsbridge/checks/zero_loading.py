"""How a model is loaded under ZeRO: zero.Init below stage 3, and weights of 4 bits that it does not split."""

from __future__ import annotations

from collections.abc import Iterator

from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.rules import Evidence
from dsbridge.subjects.contract import Check, Example
from dsbridge.subjects.subject import Subject
from dsbridge.subjects.zero import ZERO, said, stage

INIT = Code("CK302", "zero3-init-below-zero3", Severity.INFO, "zero3_init_flag is for ZeRO-3 alone.")
WHOLE = Code("CK335", "quantized-loaded-whole", Severity.INFO, "Every rank loads the whole quantized model.")
_FLAG = "yaml.deepspeed_config.zero3_init_flag"


def _init(subject: Subject) -> Iterator[Diagnostic]:
    at = stage(subject)
    if at is None or at == 3 or str(subject.tree(_FLAG)).lower() not in ("true", "1"):
        return
    yield INIT(
        f"zero3_init_flag: true at ZeRO stage {at}: Accelerate sets it to false, and only warns",
        hint="Write zero3_init_flag: false, or zero_stage: 3.",
        key="deepspeed_config.zero3_init_flag",
        at=subject.at(_FLAG),
    )


def _whole(subject: Subject) -> Iterator[Diagnostic]:
    if subject.framework not in ("trainer", "llamafactory", "xtuner") or stage(subject) != 3:
        return
    if subject.spec.get("finetuning.quantization_bits") != 4 or subject.refusals:
        return
    at = said(subject, f"{ZERO}.stage")
    yield WHOLE(
        "weights of 4 bits are not split by zero.Init: each rank loads the whole quantized model, "
        "half a byte a parameter, and the engine splits it afterwards",
        hint="Nothing, if the quantized model fits on one GPU; ZeRO-2 then trains an adapter faster.",
        key=at.key if at else f"{ZERO}.stage",
        at=at.at if at else None,
    )


_YAML = """distributed_type: DEEPSPEED
num_processes: 2
mixed_precision: bf16
deepspeed_config:
  zero_stage: 2
  zero3_init_flag: %s
"""
_LF = """model_name_or_path: m
stage: sft
do_train: true
finetuning_type: lora
quantization_bit: 4
dataset: identity
template: qwen
output_dir: out
bf16: true
deepspeed: ds.json
"""
_DS = """{"zero_optimization": {"stage": %d, "stage3_gather_16bit_weights_on_model_save": true},
 "bf16": {"enabled": "auto"}, "train_batch_size": "auto", "train_micro_batch_size_per_gpu": "auto",
 "gradient_accumulation_steps": "auto"}"""

CHECKS = (
    Check(
        code=INIT,
        run=_init,
        why="Who sets it to save memory at loading saves none.",
        hint="It belongs to stage 3.",
        fires=Example({"a.yaml": _YAML % "true"}),
        holds=Example({"a.yaml": _YAML % "false"}),
        evidence=(
            Evidence(
                "accelerate",
                "1.15.0",
                "utils/dataclasses.py",
                "1338",
                "DeepSpeed Zero3 Init flag is only applicable for ZeRO Stage 3. Setting it to False.",
                "",
            ),
        ),
        pains=(35,),
    ),
    Check(
        code=WHOLE,
        run=_whole,
        why="The memory at loading is that of the whole quantized model, on every GPU. Run with bitsandbytes "
        "0.48.2, Transformers 5.6.0 and DeepSpeed 0.18.4: loaded whole, then split in two by two ranks.",
        hint="Reckon with the whole quantized model on each GPU while it loads.",
        fires=Example({"a.yaml": _LF, "ds.json": _DS % 3}, "llamafactory-cli train a.yaml"),
        holds=Example({"a.yaml": _LF, "ds.json": _DS % 2}, "llamafactory-cli train a.yaml"),
        evidence=(
            Evidence(
                "transformers",
                "5.23.0",
                "modeling_utils.py",
                "1435",
                "needs_zero3_init = is_deepspeed_zero3_enabled() and not _is_quantized and not "
                "_is_ds_init_called",
                "",
            ),
        ),
        pains=(5,),
    ),
)
