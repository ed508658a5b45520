"""A Document to a ParallelSpec: every mistake found at once, each with its place."""

from __future__ import annotations

import difflib
import json
from typing import Any

from dsbridge.diagnostics import Code, Diagnostic, InputError, Severity
from dsbridge.formats.document import Document, Path_
from dsbridge.spec import ParallelSpec
from dsbridge.spec.kinds import Mismatch
from dsbridge.spec.setting import Meaning, Part, Section, attribute, declared_fields

UNKNOWN_KEY = Code("SP001", "unknown-key", Severity.ERROR, "The spec has no such key; a typo would be lost.")
WRONG_VALUE = Code("SP002", "wrong-value", Severity.ERROR, "The value is not of the kind that the key takes.")
NOT_A_SPEC = Code("SP003", "not-a-spec", Severity.ERROR, "The file holds no mapping of spec keys.")
CODES = (UNKNOWN_KEY, WRONG_VALUE, NOT_A_SPEC)

# words from elsewhere that no likeness of letters leads to the spec's own
KNOWN_ELSEWHERE = {
    "tensor_parallel": "parallelism.tp",
    "autotp_size": "parallelism.tp",
    "tp_size": "parallelism.tp",
    "sequence_parallel_size": "parallelism.ulysses",
    "sp": "parallelism.ulysses",
    "zero_stage": "zero.stage",
    "zero_optimization": "zero",
    "gradient_accumulation_steps": "batch.accumulation",
    "per_device_train_batch_size": "batch.micro_per_gpu",
    "train_micro_batch_size_per_gpu": "batch.micro_per_gpu",
    "train_batch_size": "batch.global",
    "micro_batch_size": "batch.micro_per_gpu",
    "learning_rate": "optimizer.lr",
    "max_grad_norm": "gradient_clipping",
    "lr_scheduler_type": "scheduler.type",
    "lora_rank": "finetuning.rank",
    "lora_alpha": "finetuning.alpha",
    "lora_target": "finetuning.target_modules",
    "quantization_bit": "finetuning.quantization_bits",
    "bf16": "precision.dtype: bf16",
    "fp16": "precision.dtype: fp16",
    "num_train_epochs": "training.epochs",
    "cutoff_len": "training.sequence_length",
    "stage3_gather_16bit_weights_on_model_save": "checkpoint.gather_16bit_weights",
    "cpu_offload": "zero.offload_optimizer.device: cpu",
    "num_gpus": "cluster.gpus_per_node",
    "dataset": "frameworks.<framework>.dataset",
    "template": "frameworks.llamafactory.template",
}


def build_spec(document: Document) -> ParallelSpec:
    """The spec a document says, not yet checked for contradictions.

    Raises:
        InputError: with one diagnostic for every key that is unknown or has a wrong value.
    """
    if not isinstance(document.value, dict) or not document.value:
        what = "the file is empty" if not document.value else "the file holds no mapping"
        hint = "A spec is a mapping; start with `version: 1` and `zero: {stage: 2}`."
        raise InputError([NOT_A_SPEC(what, hint=hint, at=document.at(()))])
    problems: list[Diagnostic] = []
    spec = _part(ParallelSpec, document.value, (), document, problems)
    if problems:
        raise InputError(problems)
    assert isinstance(spec, ParallelSpec)
    return spec


def _part(of: type[Part], given: Any, path: Path_, document: Document, problems: list[Diagnostic]) -> Any:
    declared = declared_fields(of)
    if given is None:
        return of()  # `zero:` with nothing behind it
    if not isinstance(given, dict):
        keys = ", ".join(list(declared)[:4])
        problems.append(
            WRONG_VALUE(
                f"`{_dotted(path)}` must be a mapping, not {_show(given)}",
                hint=f"It takes {keys}{', ...' if len(declared) > 4 else ''}.",
                key=_dotted(path),
                at=document.at(path),
            )
        )
        return of()
    values: dict[str, Any] = {}
    for key, value in given.items():
        here = (*path, key)
        if key not in declared:
            problems.append(_unknown(key, here, declared, document))
        elif isinstance(known := declared[key], Section):
            values[attribute(key)] = _part(known.of, value, here, document, problems)
        elif value is not None:
            _read(known, value, here, document, values, problems)
    return of(**values)


def _read(
    known: Meaning,
    value: Any,
    path: Path_,
    document: Document,
    values: dict[str, Any],
    problems: list[Diagnostic],
) -> None:
    try:
        values[attribute(str(path[-1]))] = known.kind.read(value)
    except Mismatch as mismatch:
        problems.append(
            WRONG_VALUE(
                f"`{_dotted(path)}` is {_show(value)}; it takes {mismatch}",
                hint=known.doc,
                key=_dotted(path),
                at=document.at(path),
            )
        )


def _unknown(key: str, path: Path_, declared: dict[str, Meaning | Section], document: Document) -> Diagnostic:
    place = f"`{_dotted(path[:-1])}`" if len(path) > 1 else "the spec"
    return UNKNOWN_KEY(
        f"{place} has no key `{key}`",
        hint=_suggest(key, declared),
        key=_dotted(path),
        at=document.at(path, key=True),
    )


def _suggest(key: str, declared: dict[str, Meaning | Section]) -> str:
    close = difflib.get_close_matches(key, declared, n=1, cutoff=0.75)
    if close:
        return f"Did you mean `{close[0]}`?"
    if key == "<<":
        return "Merge keys are not read: write the keys out."
    if key in KNOWN_ELSEWHERE:
        return f"The spec says it as `{KNOWN_ELSEWHERE[key]}`."
    elsewhere = [path for path in _paths() if path.rpartition(".")[2] == key]
    if elsewhere:
        return f"It belongs at `{elsewhere[0]}`."
    if key in declared_fields(ParallelSpec):
        return f"It belongs at the top, as `{key}:`."
    known = list(declared)
    more = ", ... (`dsbridge schema` prints all)" if len(known) > 20 else ""
    native = "A native DeepSpeed key goes under `deepspeed:`, a framework's own under `frameworks:`."
    return f"Known here: {', '.join(known[:20])}{more}. {native}"


def _paths() -> list[str]:
    from dsbridge.spec.leaves import leaf_paths

    return list(leaf_paths())


def _dotted(path: Path_) -> str:
    return ".".join(str(part) for part in path)


def _show(value: Any) -> str:
    """The value as the user would recognise it, short."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
