"""The same value in the DeepSpeed config and in the arguments: they differ, and the Trainer refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from dsbridge.diagnostics import Code, Diagnostic, Edit, Fix, Severity
from dsbridge.provenance import Source
from dsbridge.subjects.contract import Check, Example
from dsbridge.subjects.subject import Subject
from dsbridge.subjects.wishes import alike, written_number
from dsbridge.trees import lookup
from dsbridge.values import UNSET

DISAGREE = Code("CK205", "values-disagree", Severity.ERROR, "Config and arguments say different values.")
_REFUSAL = "TR161"  # the Trainer's, and LLaMA-Factory's
_LINE = re.compile(r"- ds (?P<key>[^=]+)=(?P<have>.*) vs hf (?P<label>.*?)=(?P<value>.*)", re.DOTALL)
_STEPS = "gradient_accumulation_steps"
# Arguments behind the Trainer's words for what it calculates, or takes from several.
_BEHIND = {
    "train_batch_size (calculated)": ("per_device_train_batch_size", "gradient_accumulation_steps"),
    "num_training_steps (calculated)": ("max_steps", "num_train_epochs"),
    "warmup_steps": ("warmup_steps", "warmup_ratio"),
}


class _Pair(NamedTuple):
    """One line of the Trainer's list. names: the arguments behind it; at: where one of them is written.

    sure: the arguments say all of it, so that nothing is lost where they fill the config.
    """

    key: str
    have: str
    label: str
    value: str
    names: tuple[str, ...]
    at: Source | None
    sure: bool


def _run(subject: Subject) -> Iterator[Diagnostic]:
    for line in _lines(subject):
        pair = _pair(subject, line)
        if pair is not None and not (pair.key == "train_batch_size" and _own_fault(subject)):
            yield _finding(subject, pair)


def _own_fault(subject: Subject) -> bool:
    """Whether the config's own three numbers do not multiply: that is to be put right first."""
    three = ("train_batch_size", "train_micro_batch_size_per_gpu", _STEPS)
    said = all(written_number(subject.written(name)) is not None for name in three)
    return said and subject.refusal("DS158") is not None


def _lines(subject: Subject) -> Iterator[object]:
    """The lines of the Trainer's list that hold whatever else is unknown, as the number of ranks."""
    if subject.explanation is None:
        return
    result = subject.explanation.result
    if not subject.refusal(_REFUSAL) and all(maybe.rule.code != _REFUSAL for maybe in result.maybe):
        return
    for name in ("mismatch", "mismatch_steps"):
        block = result.trees.get(name)
        yield from block.values() if isinstance(block, Mapping) else ()


def _pair(subject: Subject, line: object) -> _Pair | None:
    found = _LINE.fullmatch(line) if isinstance(line, str) else None
    if found is None:
        return None
    label = found["label"]
    names = _BEHIND.get(label) or tuple(name.split(" ")[0] for name in re.split(r"[+|]", label))
    places = [subject.wrote(f"args.{name}") for name in names]
    at = next((place for place in places if place), None)
    sure = all(places) if found["key"] == "train_batch_size" else at is not None
    return _Pair(found["key"], found["have"], label, found["value"], names, at, sure)


def _finding(subject: Subject, pair: _Pair) -> Diagnostic:
    assert subject.input is not None
    place = subject.place(f"ds.{pair.key}")
    where = f" ({pair.at})" if pair.at else ", its default"
    return DISAGREE(
        f"{pair.key} is {pair.have} here, and the argument {pair.label} is {pair.value}{where}: "
        f"{subject.input.framework.title} refuses to train with two values ({_REFUSAL})",
        hint=_hint(subject, pair),
        key=pair.key,
        at=place,
        fix=_fix(subject, pair),
    )


def _own(subject: Subject, pair: _Pair) -> bool:
    """Whether the config's value stands in a file of DeepSpeed's own."""
    ds = subject.ds
    return ds is not None and ds.document is not None and lookup(ds.value, pair.key) is not UNSET


def _hint(subject: Subject, pair: _Pair) -> str:
    if not _own(subject, pair):
        return f"Write {pair.value} in both places, or leave {pair.key} out here: the arguments then fill it."
    assert subject.ds is not None
    auto = f'Write "auto" at {pair.key} in {subject.ds.file}'
    if pair.sure:
        return f"{auto}; the argument's {pair.value} then holds."
    if len(pair.names) > 1 and "|" not in pair.label:
        return f"{auto} to train with {pair.value}, or say {pair.have} with {' and '.join(pair.names)}."
    return f"{auto} to train with {pair.value}, or say {pair.names[0]} = {pair.have} in the arguments."


def _fix(subject: Subject, pair: _Pair) -> Fix | None:
    """The side of the arguments where somebody wrote it. A default must not replace what was written: then
    the arguments are to say it, if they stand in a YAML."""
    if not _own(subject, pair):
        return None
    assert subject.ds is not None
    have = lookup(subject.ds.value, pair.key)
    if pair.sure or (isinstance(have, str) and alike(have, pair.value)):  # the same number in quotes
        keys = [pair.key]
        if pair.key == "train_batch_size" and subject.written(_STEPS) is UNSET:
            keys.append(_STEPS)  # else Accelerate writes 1 there, and the three do not multiply
        edits = (Edit(subject.ds.file, tuple(key.split(".")), "set", "auto") for key in keys)
        return Fix(f'write "auto" at {" and ".join(keys)}', tuple(edits))
    value = written_number(have)
    file = _arguments_file(subject)
    if not file or value is None or len(pair.names) > 1 or pair.label != pair.names[0]:
        return None
    return Fix(f"say {pair.label}: {value}", (Edit(file, (pair.label,), "set", value),))


def _arguments_file(subject: Subject) -> str:
    """The YAML that holds the arguments at its top."""
    assert subject.explanation is not None
    for name, source in subject.explanation.input.reading.sources.items():
        if name.startswith("args.") and name.count(".") == 1 and source.file.endswith((".yaml", ".yml")):
            return source.file
    return ""


_DS = """{"zero_optimization": {"stage": 2}, "train_micro_batch_size_per_gpu": "auto",
 "gradient_accumulation_steps": %s}"""
_COMMAND = (
    "torchrun --nproc_per_node 2 train.py --output_dir o --deepspeed ds.json --gradient_accumulation_steps 2"
)
CHECKS = (
    Check(
        code=DISAGREE,
        run=_run,
        why="The Trainer compares each value that it knows too, after the model is loaded, and stops at the "
        "first difference.",
        hint='Write each value once, in the arguments, and "auto" in the DeepSpeed config.',
        fires=Example({"ds.json": _DS % 4}, _COMMAND),
        holds=Example({"ds.json": _DS % '"auto"'}, _COMMAND),
        pains=(1, 6, 18),
        explains=(_REFUSAL,),
    ),
)
