"""DeepSpeed's activation_checkpointing block, which no Hugging Face code reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dsbridge.diagnostics import Code, Diagnostic, Edit, Fix, Severity
from dsbridge.subjects.contract import Check, Example, in_deepspeed
from dsbridge.subjects.subject import Subject

UNUSED = Code("CK213", "activation-block-unused", Severity.INFO, "Nobody reads activation_checkpointing.")
_BLOCK = "activation_checkpointing"
# A script or model that does read it.
_CALLS = ("deepspeed.checkpointing", "checkpointing.configure", "ds_checkpointing")
# What each framework has in its place.
_INSTEAD = {
    "trainer": "gradient_checkpointing=True in TrainingArguments",
    "llamafactory": "LLaMA-Factory's own, which is on unless disable_gradient_checkpointing is set",
    "accelerate": "model.gradient_checkpointing_enable() in the script",
    "xtuner": "XTuner's own, use_activation_checkpointing of the model",
}


def _run(subject: Subject) -> Iterator[Diagnostic]:
    block = subject.written(_BLOCK)
    instead = _INSTEAD.get(subject.framework)
    if instead is None or not isinstance(block, Mapping) or any(call in subject.scripts for call in _CALLS):
        return
    switched = [f"{key}: {value!r}" for key, value in block.items() if value not in (False, None, 0)]
    if not switched:
        return
    none = subject.framework == "trainer" and subject.tree("args.gradient_checkpointing") is not True
    none = none and bool(subject.scripts) and "gradient_checkpointing_enable" not in subject.scripts
    assert subject.ds is not None
    fix = Fix(f"take {_BLOCK} out", (Edit(subject.ds.file, (_BLOCK,), "remove"),))
    yield UNUSED(
        f"{_BLOCK} ({', '.join(switched)}) has no effect: only a model that calls deepspeed.checkpointing "
        f"reads it, and transformers' models use torch's{'; here nothing is checkpointed' if none else ''}",
        hint=f"Take the block out. To save the memory of activations: {instead}.",
        key=_BLOCK,
        at=subject.place(f"ds.{_BLOCK}"),
        severity=Severity.WARNING if none else Severity.INFO,
        fix=fix if subject.ds.document else None,
    )


_DS = """{"zero_optimization": {"stage": 2}, "train_micro_batch_size_per_gpu": "auto",
 "activation_checkpointing": {"partition_activations": %s}}"""
_COMMAND = "torchrun --nproc_per_node 2 train.py --output_dir o --deepspeed ds.json"
CHECKS = (
    Check(
        code=UNUSED,
        run=_run,
        why="The memory that the block seems to save is not saved. By source: DeepSpeed reads it in "
        "deepspeed.checkpointing.configure() alone, and none of the frameworks calls that.",
        hint="Use the framework's own gradient checkpointing.",
        fires=Example({"ds.json": _DS % "true"}, _COMMAND),
        holds=Example({"ds.json": _DS % "false"}, _COMMAND),
        evidence=(in_deepspeed("runtime/activation_checkpointing/checkpointing.py", "1125",
                               "config = DeepSpeedConfig(config, mpu=mpu).activation_checkpointing_config"),),
        pains=(34,),
    ),
)  # fmt: skip
