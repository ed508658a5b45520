"""A DeepSpeed config that is named and is not there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.parsing import NAMES_A_CONFIG
from dsbridge.subjects.contract import Check, Example
from dsbridge.subjects.nearby import near
from dsbridge.subjects.subject import Subject

ABSENT = Code("CK520", "config-not-there", Severity.ERROR, "The DeepSpeed config that is named is not there.")
_RULE = "ACC151"


def _run(subject: Subject) -> Iterator[Diagnostic]:
    if subject.explanation is None or not any(one.rule.code == _RULE for one in subject.refusals):
        return
    for path, name in _named(subject.explanation.trees):
        files = subject.unit.files
        if files.has(name) or not name.endswith((".json", ".hjson")):
            continue
        folder = files.folder.resolve() if files.disk and not name.startswith("/") else None
        looked = f", looked for in {folder}," if folder else ""
        other = near(files, name)
        given = not subject.launchers
        at = subject.at(path)
        start = _start(other, name, at.file if at else "") if given else ""
        if given and (name.startswith("/") or name.endswith(f"/{other}")):
            other = ""  # another machine's path, or one from a folder above: it may be right there
        if start:
            yield ABSENT(
                f"{name} is in {start}: the command finds it only if it is started there",
                hint=f"Start it in {start}, or write {other}.",
                key=path.rpartition(".")[2],
                at=at,
                severity=Severity.INFO,
            )
            return
        beside = f"There is {other}: write that" if other else "Write a path that is right"
        yield ABSENT(
            f"{name}{looked} is not there. The framework then takes the name for base64, and what it says "
            "(`Expected a string path to an existing deepspeed config`) hides that",
            hint=f"{beside}, or an absolute path: a relative one starts where the command runs"
            f"{', and dsbridge was not told where that is' if given else ''}.",
            key=path.rpartition(".")[2],
            at=at,
            severity=(Severity.WARNING if other else Severity.INFO) if given else None,
        )
        return


def _start(other: str, name: str, file: str) -> str:
    """The folder above the file that names the config from which the name is right; "" for none."""
    folder = other.removesuffix(name)
    above = folder != other and folder.endswith("/") and file.startswith(folder)
    return folder.rstrip("/") if above else ""


def _named(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Where the trees name a config, with the name."""
    if not isinstance(node, Mapping) or path.count(".") > 4:
        return
    for key, value in node.items():
        inner = f"{path}.{key}" if path else str(key)
        if isinstance(value, str) and key in NAMES_A_CONFIG and value:
            yield inner, value
        else:
            yield from _named(value, inner)


_RUN = "torchrun --nproc_per_node 2 train.py --output_dir o --per_device_train_batch_size 1 --deepspeed %s"
_FILES = {"configs/ds_z2.json": '{"zero_optimization": {"stage": 2}, "train_micro_batch_size_per_gpu": 1}'}
CHECKS = (
    Check(
        code=ABSENT,
        run=_run,
        why="The run stops with a message about base64 that does not say that a file is missing.",
        hint="Start the command in the folder that the path is relative to.",
        fires=Example(_FILES, _RUN % "config/ds_z2.json"),
        holds=Example(_FILES, _RUN % "configs/ds_z2.json"),
        pains=(25,),
        explains=(_RULE,),
    ),
)
