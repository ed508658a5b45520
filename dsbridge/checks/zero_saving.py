"""ZeRO-3 without `stage3_gather_16bit_weights_on_model_save`: what is saved is no model."""

from __future__ import annotations

from collections.abc import Iterator

from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.rules import Evidence, numbers
from dsbridge.subjects.contract import Check, Example, in_deepspeed
from dsbridge.subjects.subject import Subject
from dsbridge.subjects.zero import ZERO, said, stage, whole

NOT_GATHERED = Code(
    "CK320",
    "weights-not-gathered",
    Severity.WARNING,
    "Split weights are not gathered to be saved.",
)
_KEY = f"{ZERO}.stage3_gather_16bit_weights_on_model_save"
_TRAINERS = ("trainer", "llamafactory")
_ADAPTERS = ("lora", "oft", "qlora", "dora")
# transformers: 4.48.0 to 4.52.4 gather an adapter as they do a model, 5.6.0 and 5.23.0 whatever the key says
_GATHERS_ADAPTERS = (4, 53)


def _run(subject: Subject) -> Iterator[Diagnostic]:
    split = "ZeRO-3" if stage(subject) == 3 else "AutoTP" if _autotp(subject) else ""
    if split == "AutoTP" and subject.framework:
        return  # CK414 knows what each framework makes of it
    if not split or subject.framework == "xtuner" or _gathers(subject):
        return
    trains = subject.framework in _TRAINERS
    if trains and (_adapter_gathered(subject) or subject.tree("args.save_strategy") == "no"):
        return
    found = said(subject, _KEY) or said(subject, _KEY.replace("stage3_", ""))
    at = found or said(subject, f"{ZERO}.stage")
    yield NOT_GATHERED(
        f"{split} without stage3_gather_16bit_weights_on_model_save: {_effect(subject)}",
        hint="Write `zero3_save_16bit_model: true`."
        if subject.framework == "accelerate" and subject.ds is None
        else 'Write "stage3_gather_16bit_weights_on_model_save": true in zero_optimization.',
        key=at.key if at else _KEY,
        at=at.at if at else None,
        severity=Severity.WARNING if trains else Severity.INFO,
    )


def _autotp(subject: Subject) -> bool:
    size = whole(subject.effective("tensor_parallel.autotp_size"))
    return stage(subject) in (1, 2) and size is not None and size > 1


def _gathers(subject: Subject) -> bool:
    values = [subject.effective(name) for name in (_KEY, _KEY.replace("stage3_", ""))]
    values.append(subject.effective(f"{ZERO}.stage3_gather_fp16_weights_on_model_save"))
    return any(value is True or str(value).lower() in ("true", "1") for value in values)


def _adapter_gathered(subject: Subject) -> bool:
    have = subject.versions.get("transformers", "")
    return _adapter(subject) and (not have or numbers(have) >= _GATHERS_ADAPTERS)


def _adapter(subject: Subject) -> bool:
    kind = subject.spec.get("finetuning.method", "")
    return kind in _ADAPTERS or subject.tree("script.asks.adapter") is True


def _effect(subject: Subject) -> str:
    if subject.framework in _TRAINERS:
        file = "adapter_model.safetensors" if _adapter(subject) else "model.safetensors"
        return (
            f"every checkpoint has no {file}, only the shards of all ranks with their optimizer "
            "states; `zero_to_fp32.py` in its folder makes weights of them"
        )
    if subject.framework == "accelerate":
        return "accelerator.get_state_dict() and save_model() raise ValueError; save_state() writes shards"
    return (
        "the Trainer then saves shards that zero_to_fp32.py must join, and save_16bit_model() saves nothing"
    )


_DS = """{"zero_optimization": {"stage": 3%s}, "bf16": {"enabled": "auto"},
 "train_micro_batch_size_per_gpu": "auto"}"""
_RUN = "torchrun --nproc_per_node 2 train.py --output_dir out --deepspeed ds.json --bf16 true"

CHECKS = (
    Check(
        code=NOT_GATHERED,
        run=_run,
        why="Training ends, and from_pretrained finds no weights in the output folder.",
        hint="Set it where the model has to be loaded from what is saved; it costs one gather at each save.",
        fires=Example({"ds.json": _DS % ""}, _RUN),
        holds=Example({"ds.json": _DS % ', "stage3_gather_16bit_weights_on_model_save": true'}, _RUN),
        evidence=(
            Evidence(
                "transformers",
                "5.23.0",
                "trainer.py",
                "4116",
                "stage3_gather_16bit_weights_on_model_save=false. Saving the full checkpoint instead, use",
                "",
            ),
            Evidence(
                "transformers",
                "5.23.0",
                "trainer.py",
                "4110",
                "self.deepspeed._zero3_consolidated_16bit_state_dict(exclude_frozen_parameters=True)",
                "",
            ),
            in_deepspeed(
                "runtime/engine.py", "5739", "because stage3_gather_16bit_weights_on_model_save is False"
            ),
            Evidence(
                "accelerate",
                "1.15.0",
                "accelerator.py",
                "4087",
                "Cannot get 16bit model weights because `stage3_gather_16bit_weights_on_model_save`",
                "",
            ),
        ),
        pains=(33,),
    ),
)
