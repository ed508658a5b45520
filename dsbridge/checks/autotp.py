"""AutoTP: what switches it on, who splits the model, and the releases that can."""

from __future__ import annotations

from collections.abc import Iterator

from dsbridge.deepspeed.autotp import does, since, until
from dsbridge.deepspeed.blocks import Blocks
from dsbridge.diagnostics import Code, Diagnostic, Edit, Fix, Severity
from dsbridge.rules import Evidence, numbers
from dsbridge.subjects.contract import Check, Example, in_deepspeed
from dsbridge.subjects.subject import Subject
from dsbridge.subjects.tensor import (
    BLOCK,
    SIZE,
    block,
    degree,
    inner,
    number,
    place,
    program,
    stopped,
)

OFF = Code("CK410", "autotp-off", Severity.ERROR, "The block asks for tensor parallelism and leaves it off.")
OLD = Code("CK411", "autotp-too-old", Severity.ERROR, "A package is too old for AutoTP.")
WHOLE = Code("CK412", "autotp-model-whole", Severity.ERROR, "AutoTP is on, and nobody splits the model.")
STAGE = Code("CK413", "autotp-stage-3", Severity.ERROR, "AutoTP and ZeRO-3 do not go together here.")
UNSAVED = Code("CK414", "autotp-not-saved", Severity.WARNING, "The model is not gathered when it is saved.")
# words that people take for the size
_SIZES = ("tp_size", "size", "degree", "tensor_parallel_size", "tensor_model_parallel_size", "world_size")
_ACCELERATE, _TRANSFORMERS = "1.6.0", "4.50.0"


def _off(subject: Subject) -> Iterator[Diagnostic]:
    """Keys that are not autotp_size."""
    if not block(subject) or degree(subject) > 1:
        yield from _contradicted(subject)
        return
    nested = inner(subject)
    if nested is not None and nested[1] > 1:
        key, size = nested
        yield OFF(
            f"`{key}: {size}` does not switch AutoTP on: DeepSpeed reads autotp_size, which stays 0, and "
            "trains without tensor parallelism",
            hint=f'Write "tensor_parallel": {{"autotp_size": {size}}}.',
            key=key,
            at=subject.at(f"ds.{key}"),
        )
    elif SIZE.partition(".")[2] not in block(subject):
        yield from _misnamed(subject)


def _misnamed(subject: Subject) -> Iterator[Diagnostic]:
    read = Blocks(subject.version).class_of(BLOCK)
    known = {name for row in (read[0] if read else ()) for name in (row["name"], row.get("alias"))}
    wrong = [name for name in block(subject) if name not in known]
    sizes = {name: number(block(subject)[name]) for name in wrong if name in _SIZES}
    size = next((size for size in sizes.values() if size), None)
    if not wrong or not known or (size or 2) < 2 or block(subject).get("enabled") is False:
        return
    key, at = stopped(subject, "DS144") or (f"{BLOCK}.{wrong[0]}", subject.at(f"ds.{BLOCK}.{wrong[0]}"))
    if not sizes and "enabled" not in wrong:
        return  # an unknown key like any other
    names = ", ".join(f"`{name}`" for name in wrong)
    yield OFF(
        f"{names}: no key of {BLOCK} in DeepSpeed {subject.version}, which refuses the config; only "
        "autotp_size switches AutoTP on",
        hint=f'Write "tensor_parallel": {{"autotp_size": {size or "N"}}} and nothing else of these.',
        key=key,
        at=at,
        fix=_renamed(subject, wrong, next((name for name in sizes if sizes[name]), "")),
    )


def _renamed(subject: Subject, wrong: list[str], size: str) -> Fix | None:
    ds = subject.ds
    if ds is None or ds.document is None or not size:
        return None
    edits = [Edit(ds.file, (BLOCK, size), "rename", "autotp_size")]
    edits += [Edit(ds.file, (BLOCK, name), "remove") for name in wrong if name != size]
    return Fix(f"write {size} as autotp_size, and nothing that DeepSpeed does not know", tuple(edits))


def _contradicted(subject: Subject) -> Iterator[Diagnostic]:
    """Two sizes that differ: from 0.18.6 on the engine refuses, before it goes by autotp_size."""
    nested, size = inner(subject), degree(subject)
    if nested is None or size < 2 or nested[1] in (1, size):
        return
    refuses = does("refuses_other_tp_size", subject.version)
    then = "refuses that" if refuses else "goes by autotp_size"
    yield OFF(
        f"`{nested[0]}: {nested[1]}` beside autotp_size {size}: DeepSpeed {subject.version} {then}",
        hint=f"Leave `{nested[0]}` out.",
        key=nested[0],
        at=subject.at(f"ds.{nested[0]}"),
        severity=Severity.ERROR if refuses else Severity.WARNING,
    )


def _old(subject: Subject) -> Iterator[Diagnostic]:
    """Only versions that are known can be too old."""
    size, have = degree(subject), subject.versions
    if size < 2 and not (inner(subject) or (None, 0))[1] > 1:
        return
    wants = (
        ("deepspeed", since("reads_block"), f"ignores the block `{BLOCK}`: it trains without it"),
        ("accelerate", _ACCELERATE, "gives the ranks of one group different batches; DeepSpeed stops at the "
         "first with `Data inconsistency within the TP group`"),
        ("transformers", _TRANSFORMERS, "does not call tp_model_init, so nobody splits the model"),
    )  # fmt: skip
    for package, first, then in wants:
        if package not in have or not numbers(have[package]) < numbers(first):
            continue
        if package == "transformers" and does("engine_splits", subject.version):
            continue
        yield OLD(
            f"autotp_size {size}: {package} {have[package]} {then}",
            hint=f"Needs {package} {first} or newer.",
            key=SIZE,
            at=place(subject),
        )
        return


def _whole(subject: Subject) -> Iterator[Diagnostic]:
    size = degree(subject)
    if size < 2 or subject.framework not in ("accelerate", "deepspeed"):
        return
    if does("engine_splits", subject.version) or not does("reads_block", subject.version):
        return
    text = program(subject)
    if not text or "tp_model_init" in text:
        return
    first = since("engine_splits")
    yield WHOLE(
        f"autotp_size {size}: DeepSpeed {subject.version} makes the groups, and leaves it to the script to "
        f"split the model. No tp_model_init is called, so all {size} ranks of a group train the whole model "
        "on the same data",
        hint=f"Call deepspeed.tp_model_init(model, tp_size={size}, dtype=...) before prepare() or "
        f"deepspeed.initialize(), or take DeepSpeed {first} or newer, whose engine splits it.",
        key=SIZE,
        at=place(subject),
    )


def _stage(subject: Subject) -> Iterator[Diagnostic]:
    size = degree(subject)
    stage = subject.effective("zero_optimization.stage")
    if size < 2 or stage != 3 or isinstance(stage, bool):
        return
    first = until("refuses_stage_3")
    found = stopped(subject, "TR200", "LF346")
    if found is not None:
        package = f"Transformers {subject.versions.get('transformers', '')}".strip()
        message = f"autotp_size {size} with ZeRO-3: {package} cannot load weights that are split both ways"
        yield STAGE(message, hint="Use ZeRO-1 or 2.", key=found[0], at=found[1])
        return
    found = stopped(subject, "DS184")
    if found is not None or does("refuses_stage_3", subject.version):
        key, at = found or (SIZE, place(subject))
        message = f"autotp_size {size} with ZeRO-3: DeepSpeed {subject.version} stops in deepspeed.initialize"
        yield STAGE(message, hint=f"Use stage 1 or 2, or DeepSpeed {first} or newer.", key=key, at=at)
    elif not subject.framework:
        yield STAGE(
            f"autotp_size {size} with ZeRO-3: DeepSpeed takes it from {first} on, and Transformers 5 "
            "does not load a model that way; who reads this file is not known",
            hint="Check it with the command that starts the training, and --versions deepspeed=...",
            key=SIZE,
            at=place(subject),
            severity=Severity.INFO,
        )


def _unsaved(subject: Subject) -> Iterator[Diagnostic]:
    """Accelerate raises where the flag is off; the Trainer then writes DeepSpeed's own shards."""
    size, flag = degree(subject), "gather_16bit_weights_on_model_save"
    if size < 2 or subject.framework not in ("accelerate", "trainer", "llamafactory"):
        return
    names = (f"zero_optimization.stage3_{flag}", f"zero_optimization.{flag}")
    if any(subject.effective(name) is True or subject.written(name) in (True, "auto") for name in names):
        return
    ds = subject.ds
    edits = (Edit(ds.file, ("zero_optimization", flag), "set", True),) if ds and ds.document else ()
    yield UNSAVED(
        f"autotp_size {size} without {flag}: Accelerate cannot gather the split model when it is saved. The "
        "Trainer then writes DeepSpeed's checkpoint and no model file; Accelerate itself raises ValueError",
        hint=f'Write "{flag}": true into zero_optimization.',
        key=SIZE,
        at=place(subject),
        fix=Fix(f"set {flag}", edits) if edits else None,
    )


_DS = '{"train_micro_batch_size_per_gpu": 1, "zero_optimization": {"stage": %s}, "tensor_parallel": %s}'
_RUN = (
    "torchrun --nproc_per_node 4 train.py --output_dir o --deepspeed ds.json --per_device_train_batch_size 1"
)
_ON, _STAGE2 = '{"autotp_size": 2}', "2"
_GATHER = '2, "gather_16bit_weights_on_model_save": true'
_BARE = """import deepspeed
model = Net()
%sengine, *_ = deepspeed.initialize(model=model, config="ds.json", model_parameters=model.parameters())
"""
_SPLIT = "model = deepspeed.tp_model_init(model, tp_size=2, dtype=torch.bfloat16)\n"
_AT_016 = {"deepspeed": "0.16.9"}
CHECKS = (
    Check(
        code=OFF,
        run=_off,
        why="The run stops at the unknown key, or trains without tensor parallelism and says nothing.",
        hint='The one key is "tensor_parallel": {"autotp_size": N}.',
        fires=Example({"ds.json": _DS % ("2", '{"tensor_parallel": {"tp_size": 2}}')}),
        holds=Example({"ds.json": _DS % ("2", _ON)}),
        evidence=(in_deepspeed("runtime/engine.py", "595", "if self.autotp_size() > 1:"),),
        pains=(10,),
        explains=("DS144",),
    ),
    Check(
        code=OLD,
        run=_old,
        why="An older DeepSpeed does not know the block, and an older Accelerate feeds the groups wrongly.",
        hint="Needs deepspeed 0.16.4, accelerate 1.6 and, below the Trainer, transformers 4.50.",
        fires=Example({"ds.json": _DS % ("2", _ON)}, versions={"deepspeed": "0.16.2"}),
        holds=Example({"ds.json": _DS % ("2", _ON)}, versions={"deepspeed": "0.16.4"}),
        evidence=(
            Evidence(
                "accelerate",
                "1.6.0",
                "accelerator.py",
                "1823",
                'deepspeed_plugin.deepspeed_config.get("tensor_parallel", {}).get("autotp_size", 0)',
                "",
            ),
        ),
        pains=(28,),
    ),
    Check(
        code=WHOLE,
        run=_whole,
        why="Memory does not shrink and half of the GPUs do the work of the others once more.",
        hint="Call deepspeed.tp_model_init, or take a DeepSpeed whose engine splits the model.",
        fires=Example(
            {"ds.json": _DS % (_STAGE2, _ON), "train.py": _BARE % ""},
            "torchrun --nproc_per_node 2 train.py",
            versions=_AT_016,
        ),
        holds=Example(
            {"ds.json": _DS % (_STAGE2, _ON), "train.py": _BARE % _SPLIT},
            "torchrun --nproc_per_node 2 train.py",
            versions=_AT_016,
        ),
        pains=(10,),
    ),
    Check(
        code=STAGE,
        run=_stage,
        why="The run stops after the model is loaded.",
        hint="Use ZeRO-1 or 2 with AutoTP.",
        fires=Example({"ds.json": _DS % ("3", _ON)}, _RUN, versions=_AT_016),
        holds=Example({"ds.json": _DS % (_STAGE2, _ON)}, _RUN, versions=_AT_016),
        pains=(10,),
        explains=("DS184", "LF346", "TR200"),
    ),
    Check(
        code=UNSAVED,
        run=_unsaved,
        why="What lies in the output folder after training is no model that can be loaded.",
        hint="Set gather_16bit_weights_on_model_save, at stage 1 and 2 too.",
        fires=Example({"ds.json": _DS % (_STAGE2, _ON)}, _RUN),
        holds=Example({"ds.json": _DS % (_GATHER, _ON)}, _RUN),
        evidence=(
            Evidence(
                "accelerate",
                "1.15.0",
                "accelerator.py",
                "4073-4083",
                "if model.zero_gather_16bit_weights_on_model_save():",
                "",
            ),
        ),
        pains=(27,),
    ),
)
