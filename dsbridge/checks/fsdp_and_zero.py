"""A `deepspeed_config` or an `fsdp_config` that an Accelerate file's `distributed_type` does not use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.provenance import Source
from dsbridge.rules import Evidence
from dsbridge.subjects.contract import Check, Example
from dsbridge.subjects.subject import Subject
from dsbridge.values import UNSET

UNUSED = Code("CK340", "sharding-block-unused", Severity.WARNING, "Accelerate does not use this block.")


def _run(subject: Subject) -> Iterator[Diagnostic]:
    kind = subject.tree("launch.kind")
    if not isinstance(kind, str):
        return
    other = {"deepspeed": "fsdp", "fsdp": "deepspeed"}
    names = [other[kind]] if kind in other else ["deepspeed", "fsdp"]
    for name in names:
        block = subject.tree(f"yaml.{name}_config")
        if not isinstance(block, Mapping) or not block:
            continue
        written = subject.tree("yaml.distributed_type")
        said = "no distributed_type" if written is UNSET else f"distributed_type: {written}"
        title = {"deepspeed": "DeepSpeed", "fsdp": "FSDP"}
        yield UNUSED(
            f"{name}_config is read by nobody: the file says {said}, so the run "
            + (f"trains with {title[kind]}" if kind in title else f"trains without {title[name]}"),
            hint=f"Write distributed_type: {title[name].upper()} to train with it, or remove {name}_config.",
            key=f"{name}_config",
            at=_place(subject, f"{name}_config"),
        )


def _place(subject: Subject, name: str) -> Source | None:
    inside = subject.at(f"yaml.{name}")
    document = subject.file_value(inside.file) if inside else None
    return (document.at((name,), key=True) if document else None) or inside


_YAML = """distributed_type: %s
num_processes: 2
mixed_precision: bf16
deepspeed_config:
  zero_stage: 3
  zero3_init_flag: true
  zero3_save_16bit_model: true
"""

CHECKS = (
    Check(
        code=UNUSED,
        run=_run,
        why="The model is not sharded as the block says: each GPU holds all of it, or another way is taken.",
        hint="One block for one distributed_type.",
        fires=Example({"a.yaml": _YAML % "MULTI_GPU"}),
        holds=Example({"a.yaml": _YAML % "DEEPSPEED"}),
        evidence=(
            Evidence(
                "accelerate",
                "1.15.0",
                "commands/launch.py",
                "1228",
                "args.use_deepspeed = defaults.distributed_type == DistributedType.DEEPSPEED",
                "",
            ),
        ),
    ),
)
