"""A spec in V1's words, for what was parsed from them: V1's YAML, a ds_config, and the launch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from dsbridge.rulebook import flat
from dsbridge.sdk import (
    AUTO,
    UNSET,
    Diagnostic,
    Dialect,
    Rendered,
    RenderRequest,
    YamlEdit,
    asks_for_deepspeed,
    batch_numbers,
    changed,
    dims,
    ds_config,
    finish_launch,
    nest,
    place,
    refused_kind,
    show,
    to_json,
    to_yaml,
    unsupported,
)
from dsbridge_llamafactory import codes, launch
from dsbridge_llamafactory import v1_fields as fields
from dsbridge_llamafactory.v1_inputs import SWITCH
from dsbridge_trainer.codes import OWN_KEY
from dsbridge_trainer.dialect import FILLS
from dsbridge_trainer.merge import into_base
from dsbridge_trainer.refusals import uses_fsdp

TRAINING_FILE, DS_FILE = "train.yaml", "ds_config.json"
_MICRO, _STEPS, _WHOLE = "train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "train_batch_size"
_TWO = {"full_shard": True, "shard_grad_op": False}


class Part(NamedTuple):
    """Flat keys of the YAML, the files beside it, the spec paths dealt with, and what to tell."""

    keys: dict[str, Any]
    files: dict[str, str]
    claimed: frozenset[str]
    found: list[Diagnostic]


def render(request: RenderRequest) -> Rendered:
    """`train.yaml`, `ds_config.json` under DeepSpeed, and the launch with USE_V1=1."""
    own = request.own()
    command = own.pop("command", "train")
    del own[fields.DIALECT_KEY]
    kept = flat(own)
    parts = [_arguments(request, kept), _sharding(request, kept), _fixed(request)]
    keys: dict[str, Any] = {key: value for part in parts for key, value in part.keys.items()}
    found = [finding for part in parts for finding in part.found]
    found += [_twice(key, kept[key], keys[key]) for key in keys if key in kept and kept[key] != keys[key]]
    if kept.get("global_batch_size", 1) is None:
        del kept["global_batch_size"]  # parsed from a file that has none
    whole = nest({**keys, **kept})
    name = TRAINING_FILE if request.base is None else request.base.name
    text, told = _training_file(request, whole)
    files = {name: text, **{k: v for part in parts for k, v in part.files.items()}}
    starts = {**launch.STARTS, "ray": "V1 has no Ray path"}
    spoken = refused_kind(request, starts, "llamafactory-cli")
    if request.spec.launch.kind == "ray":
        request = request._replace(
            spec=changed(request.spec, launch=changed(request.spec.launch, kind=UNSET))
        )
    start = launch.start(request, name, str(command), {SWITCH: "1"})
    started = finish_launch(request, start, files)
    claimed = frozenset().union(started.claimed, *(part.claimed for part in parts))
    diagnostics = (*found, *told, *spoken, *launch.unsplittable(start), *started.diagnostics)
    return Rendered({**files, **started.files}, started.launch, claimed, diagnostics)


def _twice(key: str, own: Any, said: Any) -> Diagnostic:
    name = f"frameworks.llamafactory.{key}"
    message = f"`{name}` is {show(own)}, but the spec's own keys make `{key}` {show(said)}"
    return OWN_KEY(message, hint="Say it once, in the spec's own key.", key=name)


def _training_file(request: RenderRequest, keys: dict[str, Any]) -> tuple[str, list[Diagnostic]]:
    if request.base is not None:
        edit = YamlEdit(*request.base)
        merged = {name: _over(edit.get(name), value) for name, value in keys.items()}
        found = into_base(edit, merged, lambda key: edit.at((key,)), ())
        return edit.text(request.header()), found
    groups = {name: [key for key in group if key in keys] for name, group in fields.SECTIONS.items()}
    named = {key for group in groups.values() for key in group}
    groups["training"] = [key for key in keys if key not in named]
    blocks = [
        f"### {name}\n{to_yaml({key: keys[key] for key in group})}" for name, group in groups.items() if group
    ]
    return f"# {request.header()}\n\n" + "\n".join(blocks), []


def _over(old: Any, new: Any) -> Any:
    """A plugin's settings over those of the user's file."""
    return {**old, **new} if isinstance(old, Mapping) and isinstance(new, Mapping) else new


def _arguments(request: RenderRequest, kept: Mapping[str, Any]) -> Part:
    """What single keys say, the adapter, and the global batch."""
    spec, method = request.spec, request.spec.finetuning.method
    rows = [row for row in (*fields.TOP, *fields.NO_PLACE) if row.key not in kept]
    keys: dict[str, Any] = {}
    claimed = {"finetuning.method", *(row.path for row in fields.TOP)}
    if method in fields.METHODS or method == "qlora":
        keys["peft_config.name"] = "lora" if method == "qlora" else method
        rows += fields.FREEZE if method == "freeze" else fields.LORA
    if method == "qlora" or spec.finetuning.quantization_bits not in (UNSET, AUTO):
        rows += fields.QUANT
        if "quant_config.name" not in kept:
            keys["quant_config.name"] = "bnb"
        if spec.finetuning.quantization_bits is UNSET:
            keys["quant_config.quantization_bit"] = 4
    placed = place(rows, request.values)
    whole, found = _global(request, kept)
    if spec.model.attention not in (UNSET, *fields.ATTENTION):
        why = "V1 takes " + ", ".join(fields.ATTENTION)
        found = [*found, _refused("model.attention", spec.model.attention, why)]
    keys |= {**placed.document("args"), **whole}
    return Part(keys, {}, placed.claimed | claimed, [*placed.diagnostics, *found])


def _global(request: RenderRequest, kept: Mapping[str, Any]) -> tuple[dict[str, Any], list[Diagnostic]]:
    """V1 has no word for accumulation: it follows from the global batch."""
    spec, numbers = request.spec, batch_numbers(request.spec)
    if "global_batch_size" in kept:
        return {}, []
    if isinstance(spec.batch.global_, int):
        return {"global_batch_size": spec.batch.global_}, list(_uneven(request, spec.batch.global_))
    steps = numbers.accumulation or 1
    if steps == 1:
        return {}, []
    if numbers.global_ is not None:
        return {"global_batch_size": numbers.global_}, list(_uneven(request, numbers.global_))
    if asks_for_deepspeed(spec):
        return {}, []  # the ds_config says it
    message = f"`batch.accumulation: {steps}`: V1 derives it from the global batch, which nobody knows"
    hint = "Give `batch.global`, or `cluster.gpus_per_node`."
    return {}, [codes.V1_BATCH(message, hint=hint, key="batch.accumulation")]


def _uneven(request: RenderRequest, whole: int) -> Iterator[Diagnostic]:
    """V1 counts every rank as data-parallel, but for those of one sequence."""
    layout, micro = dims(request.spec), batch_numbers(request.spec).micro or 1
    ranks = (layout.world_size or 1) // layout.ulysses
    if ranks and whole % (ranks * micro):
        message = f"`global_batch_size: {whole}` is no multiple of {ranks} ranks x {micro} samples: V1 stops"
        hint = "V1 does not know of tensor parallelism; change the batch." if layout.tp > 1 else ""
        yield codes.V1_BATCH(message, hint=hint, key="batch.global")


def _sharding(request: RenderRequest, kept: Mapping[str, Any]) -> Part:
    if uses_fsdp(request):
        return _fsdp(request)
    if asks_for_deepspeed(request.spec):
        return _deepspeed(request, kept)
    keys, claimed, found = _by_trainer(request)
    if request.spec.precision.dtype not in (UNSET, AUTO, "fp32"):
        reason = "without sharding V1 trains in the weights' own format"
        found.append(unsupported("precision.dtype", request.spec.precision.dtype, reason))
    return Part(keys, {}, claimed | {"precision.dtype"}, found)


def _by_trainer(request: RenderRequest) -> tuple[dict[str, Any], frozenset[str], list[Diagnostic]]:
    """Without DeepSpeed V1 clips and counts itself."""
    clip = request.spec.gradient_clipping
    keys = {} if clip in (UNSET, AUTO) else {"max_grad_norm": clip}
    return keys, frozenset({"gradient_clipping", "batch.global", "batch.accumulation"}), []


def _fsdp(request: RenderRequest) -> Part:
    """V1's own FSDP 2, layer by layer."""
    spec = request.spec
    keys, claimed, found = _by_trainer(request)
    placed = place(fields.FSDP2, request.values)
    keys |= {"dist_config.name": "fsdp2", **placed.document("args")}
    claimed |= placed.claimed | {"fsdp.version", "fsdp.sharding", "fsdp.auto_wrap", "precision.dtype"}
    if spec.fsdp.version not in (UNSET, 2):
        found.append(unsupported("fsdp.version", spec.fsdp.version, "V1 has FSDP 2 alone", "Write 2."))
    if spec.fsdp.sharding in _TWO:
        keys.setdefault("dist_config.reshard_after_forward", _TWO[str(spec.fsdp.sharding)])
    elif spec.fsdp.sharding is not UNSET:
        found.append(unsupported("fsdp.sharding", spec.fsdp.sharding, "FSDP 2 has no word for it"))
    if spec.fsdp.auto_wrap not in (UNSET, "transformer"):
        found.append(unsupported("fsdp.auto_wrap", spec.fsdp.auto_wrap, "V1 shards layer by layer"))
    if spec.precision.dtype in ("bf16", "fp32"):
        keys["bf16"] = spec.precision.dtype == "bf16"
    elif spec.precision.dtype not in (UNSET, AUTO):
        found.append(_refused("precision.dtype", spec.precision.dtype, "V1 trains in bf16 or fp32"))
    return Part(keys, {}, frozenset(claimed), [*found, *placed.diagnostics])


def _deepspeed(request: RenderRequest, kept: Mapping[str, Any]) -> Part:
    """A ds_config in which V1's own numbers stand as "auto"."""
    spec = request.spec
    dialect = Dialect(title="LLaMA-Factory's V1", takes=_takes(request, kept), fills=FILLS,
                      versions=("0.18.4",))  # fmt: skip
    built = ds_config(spec, dialect)
    found = [*built.diagnostics]
    claimed = built.claimed | {"batch.global", "batch.accumulation", "gradient_clipping"}
    if spec.precision.dtype in ("fp16", "fp8"):
        found.append(_refused("precision.dtype", spec.precision.dtype, "V1 has bf16 or fp32 with DeepSpeed"))
    if spec.zero.allow_untested_optimizer is False:
        why = "Accelerate sets it to true for the optimizer that V1 makes"
        found.append(unsupported("zero.allow_untested_optimizer", False, why, "Remove it."))
    if dims(spec).ulysses > 1:
        why = "V1 divides sequences with FSDP 2 alone"
        found.append(_refused("parallelism.ulysses", spec.parallelism.ulysses, why))
        claimed |= {"parallelism.ulysses"}
    keys = {"dist_config.name": "deepspeed", "dist_config.config_file": DS_FILE}
    return Part(keys, {DS_FILE: to_json(built.config)}, claimed, found)


def _takes(request: RenderRequest, kept: Mapping[str, Any]) -> dict[str, str]:
    """The keys that V1 fills, but for those that say something else than V1's own."""
    native = request.spec.deepspeed if isinstance(request.spec.deepspeed, dict) else {}
    takes = {_MICRO: "micro_batch_size", _STEPS: "global_batch_size", _WHOLE: "global_batch_size"}
    if "micro_batch_size" in kept:
        del takes[_MICRO]
    if request.spec.batch.accumulation not in (UNSET, AUTO):
        del takes[_STEPS]  # beside a number there, V1's own does not count
    return {key: name for key, name in takes.items() if key not in native}


def _refused(path: str, value: Any, why: str) -> Diagnostic:
    hint = "Without `frameworks.llamafactory.dialect` LLaMA-Factory's older trainer is rendered."
    return codes.V1_REFUSED(f"`{path}: {show(value)}`: {why}", hint=hint, key=path)


def _fixed(request: RenderRequest) -> Part:
    """AdamW with torch's numbers and a constant rate: V1 0.9.5 has no other, and no key for them."""
    found = list(_unmet(request))
    return Part({}, {}, frozenset({*fields.FIXED, "optimizer.owner", "scheduler.owner"}), found)


def _unmet(request: RenderRequest) -> Iterator[Diagnostic]:
    for path in fields.FIXED:
        value = request.values.get(path, AUTO)
        value = list(value) if isinstance(value, tuple) else value
        if value is not AUTO and value != fields.SILENT[path]:
            why = f"V1 0.9.5 has {show(fields.SILENT[path])} and no key for it"
            yield unsupported(path, value, why)
    for name in ("optimizer", "scheduler"):
        if request.values.get(f"{name}.owner") == "deepspeed":
            why = f"V1 makes its own, and Accelerate refuses a {name} block beside it"
            yield _refused(f"{name}.owner", "deepspeed", why)
