"""A spec to a DeepSpeed config, in the dialect of whoever reads it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from dsbridge.deepspeed.dialect import (
    AUTO_LEFT_OUT,
    BATCH_COUNT,
    BATCH_NEEDED,
    NATIVE_CONFLICT,
    STAGE_ASSUMED,
    Dialect,
    Fragment,
    join,
)
from dsbridge.deepspeed.optimizer import optimizer_part
from dsbridge.deepspeed.refused import refused
from dsbridge.deepspeed.scheduler import scheduler_part
from dsbridge.deepspeed.versions import version_findings
from dsbridge.diagnostics import Diagnostic
from dsbridge.fields import nest, show
from dsbridge.spec import ParallelSpec
from dsbridge.spec.batch import BatchNumbers, batch_numbers, dims, how_many_ranks
from dsbridge.spec.leaves import leaves, plain
from dsbridge.spec.setting import Meaning, Part, Section, declared_fields
from dsbridge.values import AUTO, UNSET

# sections whose fields DeepSpeed's config says one to one; the others need a decision
_ONE_TO_ONE = ("zero", "aio", "precision", "gradient_clipping", "checkpoint", "activation_checkpointing")
_DECIDED = ("precision.dtype",)


class DsConfig(NamedTuple):
    """A nested config, the spec paths it has dealt with, and what to tell."""

    config: dict[str, Any]
    claimed: frozenset[str]
    diagnostics: tuple[Diagnostic, ...]


def ds_config(spec: ParallelSpec, dialect: Dialect) -> DsConfig:
    """The DeepSpeed config that says the spec in `dialect`."""
    part = join(
        [
            _batch(spec, dialect),
            _one_to_one(spec, dialect),
            _precision(spec, dialect),
            _tensor_parallel(spec, dialect),
            optimizer_part(spec, dialect),
            scheduler_part(spec, dialect),
        ]
    )
    found = list(part.diagnostics)
    keys = dict(part.keys)
    if "zero_optimization.stage" not in keys:
        keys = {"zero_optimization.stage": 0, **keys}
        if not _native_stage(spec):
            found.append(STAGE_ASSUMED("no `zero.stage` is given: 0 is written, DeepSpeed's default"))
    native = spec.deepspeed if isinstance(spec.deepspeed, dict) else {}
    found += version_findings(keys, native, dialect, _paths())
    config = _ordered(nest(keys))
    found += _merge_native(config, spec)
    found += refused(config, dialect, spec.precision.dtype)
    return DsConfig(config, part.claimed, tuple(found))


# said by arguments of every framework too, DeepSpeed or not
_ANYWHERE = ("gradient_clipping", "precision.dtype", "checkpoint.save_on_each_node")


def asks_for_deepspeed(spec: ParallelSpec) -> bool:
    """Whether the spec says anything that DeepSpeed alone does; without, training is plain data parallel."""
    owners = (spec.optimizer.owner, spec.scheduler.owner)
    if spec.deepspeed or "deepspeed" in owners or dims(spec).tp > 1 or dims(spec).ulysses > 1:
        return True
    return any(path.split(".")[0] in _ONE_TO_ONE and path not in _ANYWHERE for path in leaves(spec))


@cache
def ds_key_of(path: str) -> str | None:
    """DeepSpeed's own name for a spec path, where one key says it."""
    return dict(_table()).get(path)


@cache
def ds_table() -> dict[str, str]:
    """The spec path that each of DeepSpeed's own keys says by itself."""
    return {key: path for path, key in _table()}


def ds_path_of(key: str) -> str:
    """The spec path that a key of DeepSpeed's own says."""
    return ds_table()[key]


@cache
def _paths() -> dict[str, str]:
    """The spec path behind each DeepSpeed key."""
    return {key: path for path, key in _table()} | {"tensor_parallel.autotp_size": "parallelism.tp"}


@cache
def _table() -> tuple[tuple[str, str], ...]:
    return tuple(_rows(ParallelSpec, ""))


def _rows(of: type[Part], prefix: str) -> Iterator[tuple[str, str]]:
    for key, declared in declared_fields(of).items():
        path = prefix + key
        if not prefix and key not in _ONE_TO_ONE:
            continue
        if isinstance(declared, Section):
            yield from _rows(declared.of, f"{path}.")
        elif path not in _DECIDED and declared.deepspeed:
            yield path, declared.deepspeed


def _one_to_one(spec: ParallelSpec, dialect: Dialect) -> Fragment:
    keys: dict[str, Any] = {}
    claimed: set[str] = set()
    found: list[Diagnostic] = []
    for path, value in leaves(spec).items():
        name = ds_key_of(path)
        if name is None or name in dialect.takes:
            continue
        claimed.add(path)
        if value is AUTO and name not in dialect.fills:
            found.append(auto_left_out(path, name, dialect))
        else:
            keys[name] = plain(value)
    keys |= {name: "auto" for name in dialect.takes if name == "gradient_clipping"}
    return Fragment(keys, frozenset(claimed), tuple(found))


def auto_left_out(path: str, name: str, dialect: Dialect) -> Diagnostic:
    """Tell that an "auto" is left to DeepSpeed's own default."""
    return AUTO_LEFT_OUT(
        f'`{path}: auto` is not written: {dialect.title} does not fill "auto" in `{name}`',
        hint="DeepSpeed's own default holds. Write a value to choose another.",
        key=path,
    )


def _batch(spec: ParallelSpec, dialect: Dialect) -> Fragment:
    names = {
        "train_micro_batch_size_per_gpu": "batch.micro_per_gpu",
        "gradient_accumulation_steps": "batch.accumulation",
        "train_batch_size": "batch.global",
    }
    numbers, layout = batch_numbers(spec), dims(spec)
    values = dict(zip(names, (numbers.micro, numbers.accumulation, numbers.global_), strict=True))
    given = leaves(spec)
    shared = layout.tp * layout.ulysses > 1
    keys: dict[str, Any] = {}
    for name, value in values.items():
        if name in dialect.takes:
            keys[name] = "auto"
        elif value is not None and (name != "train_batch_size" or _says_product(dialect, numbers, shared)):
            keys[name] = value
    claimed = {p for n, p in names.items() if p in given and n not in dialect.takes}
    found = []
    if dialect.needs_batch and not {"train_batch_size", "train_micro_batch_size_per_gpu"} & keys.keys():
        found.append(
            BATCH_NEEDED(
                "no batch size is known",
                hint="Give `batch.micro_per_gpu`, or `batch.global` with `batch.accumulation` and "
                "`cluster.gpus_per_node`.",
                key="batch",
            )
        )
    if dialect.needs_batch and layout.world_size is None:
        found += _indivisible(numbers)
    counted_apart = layout.tp * (1 if dialect.knows_ulysses else layout.ulysses)
    if counted_apart > 1 and numbers.global_ is not None and layout.world_size:
        reported = numbers.global_ * counted_apart
        found.append(
            BATCH_COUNT(
                f"the global batch is {numbers.global_} samples ({how_many_ranks(layout)}); DeepSpeed may "
                f"count all {layout.world_size} ranks and report {reported}",
                key="parallelism.tp" if layout.tp > 1 else "parallelism.ulysses",
            )
        )
    return Fragment(keys, frozenset(claimed), tuple(found))


def _indivisible(numbers: BatchNumbers) -> Iterator[Diagnostic]:
    """deepspeed 0.19.8 runtime/config.py:590-641: whatever the ranks, the rest of this division is lost."""
    known = {"micro_per_gpu": numbers.micro, "accumulation": numbers.accumulation}
    for word, number in known.items():
        if number and numbers.global_ and numbers.global_ % number:
            yield BATCH_NEEDED(
                f"`batch.global: {numbers.global_}` is no multiple of `batch.{word}: {number}`",
                hint="DeepSpeed stops there with any number of GPUs: change one of the two.",
                key="batch.global",
            )


def _says_product(dialect: Dialect, numbers: Any, shared: bool) -> bool:
    """Only what DeepSpeed derives itself: with tp or ulysses it may count other ranks than we do."""
    if numbers.micro is None:
        return not shared
    return dialect.train_batch_size and not shared


def _precision(spec: ParallelSpec, dialect: Dialect) -> Fragment:
    dtype = spec.precision.dtype
    names = ("bf16.enabled", "fp16.enabled")
    if all(name in dialect.takes for name in names):
        return Fragment(dict.fromkeys(names, "auto"))
    if dtype is UNSET:
        return Fragment()
    claimed = frozenset({"precision.dtype"})
    if dtype is AUTO:
        if all(name in dialect.fills for name in names):
            return Fragment(dict.fromkeys(names, "auto"), claimed)
        return Fragment({}, claimed, (auto_left_out("precision.dtype", "bf16.enabled", dialect),))
    # fp8 layers run inside bf16 training, in every framework that offers them
    return Fragment({"bf16.enabled": dtype in ("bf16", "fp8"), "fp16.enabled": dtype == "fp16"}, claimed)


def _tensor_parallel(spec: ParallelSpec, dialect: Dialect) -> Fragment:
    keys: dict[str, Any] = {}
    found: list[Diagnostic] = []
    claimed = {p for p in leaves(spec) if p == "parallelism.tp" or p.startswith("parallelism.tp_")}
    if dims(spec).tp > 1:
        keys["tensor_parallel.autotp_size"] = dims(spec).tp
    for name in ("tp_overlap_comm", "tp_grain_size", "tp_preset_model"):
        value = getattr(spec.parallelism, name)
        declared = declared_fields(type(spec.parallelism))[name]
        assert isinstance(declared, Meaning)
        if value is AUTO:
            found.append(auto_left_out(f"parallelism.{name}", declared.deepspeed, dialect))
        elif value is not UNSET:
            keys[declared.deepspeed] = plain(value)
    return Fragment(keys, frozenset(claimed), tuple(found))


def _native_stage(spec: ParallelSpec) -> bool:
    native = spec.deepspeed if isinstance(spec.deepspeed, dict) else {}
    block = native.get("zero_optimization")
    return isinstance(block, dict) and "stage" in block


def _merge_native(config: dict[str, Any], spec: ParallelSpec) -> list[Diagnostic]:
    """Add the user's native keys; report those that contradict what the spec's own keys said."""
    native = spec.deepspeed if isinstance(spec.deepspeed, dict) else {}
    found = [
        _two_owners(name, given)
        for name in ("optimizer", "scheduler")
        if name in native and name not in config
        for given in [p for p in leaves(spec) if p.startswith(f"{name}.")][:1]
    ]
    assumed = {} if spec.zero.stage is not UNSET else {("zero_optimization", "stage")}
    _merge(config, copy.deepcopy(native), (), assumed, found)
    return found


def _two_owners(name: str, given: str) -> Diagnostic:
    return NATIVE_CONFLICT(
        f"`deepspeed.{name}` makes DeepSpeed build the {name}; `{given}` is then read by nobody",
        hint=f"Say all of it under `{name}:`, with `{name}.owner: deepspeed`, or all of it natively.",
        key=f"deepspeed.{name}",
    )


def _merge(
    into: dict[str, Any], native: dict[str, Any], path: tuple[str, ...], assumed: Any, found: list[Diagnostic]
) -> None:
    for key, value in native.items():
        here = (*path, key)
        old = into.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            _merge(old, value, here, assumed, found)
        elif key not in into or here in assumed or old == value:
            into[key] = value
        else:
            dotted = ".".join(here)
            found.append(
                NATIVE_CONFLICT(
                    f"`deepspeed.{dotted}` is {show(value)}, but {_why_written(old, dotted)}",
                    hint="Say it once, in the spec's own key.",
                    key=f"deepspeed.{dotted}",
                )
            )


def _why_written(old: Any, dotted: str) -> str:
    if old == "auto":
        return "this target fills `auto` there from its own argument, which would disagree"
    return f"the spec's own keys make `{dotted}` {show(old)}"


_ORDER = (
    "train_batch_size",
    "train_micro_batch_size_per_gpu",
    "gradient_accumulation_steps",
    "gradient_clipping",
    "bf16",
    "fp16",
    "optimizer",
    "scheduler",
    "zero_optimization",
)


def _ordered(config: dict[str, Any]) -> dict[str, Any]:
    """The keys a reader looks for first, first."""
    first = {key: config[key] for key in _ORDER if key in config}
    return {**first, **{key: value for key, value in config.items() if key not in first}}
