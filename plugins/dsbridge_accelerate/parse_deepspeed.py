"""DeepSpeed's part of the YAML in the spec's words: by fields, or by the file that it names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import ceil
from typing import Any

from dsbridge.rulebook import Unknown, flat, lookup
from dsbridge.sdk import (
    DS_OPTIMIZERS,
    UNSET,
    Claim,
    Dialect,
    Draft,
    config_claims,
    default_clipping,
    joined,
    scheduler_claims,
)
from dsbridge_accelerate.deepspeed import DS_FILE
from dsbridge_accelerate.fields import DS_FIELDS, DS_FILLS, DS_IMPLIED, DS_PRECISION, FIELD_TO_DS
from dsbridge_accelerate.given import Given, mapping, number

_PATHS = {
    "zero_stage": "zero.stage",
    "gradient_clipping": "gradient_clipping",
    "offload_optimizer_device": "zero.offload_optimizer.device",
    "offload_param_device": "zero.offload_param.device",
    "offload_optimizer_nvme_path": "zero.offload_optimizer.nvme_path",
    "offload_param_nvme_path": "zero.offload_param.nvme_path",
    "zero3_save_16bit_model": "checkpoint.gather_16bit_weights",
}
_DIALECT = Dialect(title="Accelerate", fills=DS_FILLS)
_STEPS, _CLIP = "gradient_accumulation_steps", "gradient_clipping"
_MICRO, _WHOLE = "train_micro_batch_size_per_gpu", "train_batch_size"
_DEFAULT_STAGE = 2  # DeepSpeedPlugin's: utils/dataclasses.py:1238 of 1.15.0
_FILE = "deepspeed_config_file"
Key = tuple[str, ...]


def deepspeed_part(given: Given) -> Draft:
    """What DeepSpeed is told by YAML, flags, script and file."""
    if given.unseen:
        return Draft()
    found = _by_file(given, given.ds) if given.ds is not None else _by_fields(given)
    stage = next((claim.value for claim in found.claims if claim.path == "zero.stage"), None)
    return joined([found, Draft((*_init(given, stage), *_ulysses(given)))])


def _said(given: Given, name: str) -> tuple[Any, Key]:
    """A field's value and key; the script's DeepSpeedPlugin beats the YAML."""
    if name in given.plugin:
        return given.plugin[name], ("plugin", name)
    return given.section("deepspeed_config").get(name), given.key("deepspeed_config", name)


def _by_fields(given: Given) -> Draft:
    claims: list[Claim] = []
    for name, path in _PATHS.items():
        value, key = _said(given, name)
        # `accelerate launch` loses the path of a field, and a clipping of 0 is no clipping: both stay words
        by_yaml = key[0] != "plugin"
        if value is None or (by_yaml and (value == "nvme" or name.endswith("nvme_path"))):
            continue
        if name == _CLIP and value == 0:
            continue
        claims.append(Claim(path, value, (key,)))
    steps, keys = given.steps()
    if steps is not None:
        claims.append(Claim("batch.accumulation", steps, keys))
    if _said(given, "zero_stage")[0] is None:
        # rendered, the key is always there: so the stage that holds without it is written
        claims.append(Claim("zero.stage", _DEFAULT_STAGE))
    silent: dict[str, Any] = {}
    clip = _said(given, _CLIP)[0]
    if clip is None:
        silent[_CLIP] = 1.0  # "auto", which becomes 1.0: accelerator.py:2329 of 1.15.0
    elif clip == 0:
        silent[_CLIP] = default_clipping(given.versions.get("deepspeed", ""))
    return Draft(tuple(claims), lost=_beaten(given), silent=silent)


def _beaten(given: Given) -> dict[Key, str]:
    """Fields of the YAML that the script's own plugin overrules."""
    section = given.section("deepspeed_config")
    why = "gives way to DeepSpeedPlugin(...) in the script"
    return {
        given.key("deepspeed_config", name): why
        for name, value in given.plugin.items()
        if name in section and name in FIELD_TO_DS and section[name] != value
    }


def _by_file(given: Given, ds: Mapping[str, Any]) -> Draft:
    """The file, with what fields and script put in the place of its "auto"."""
    claims: list[Claim] = list(_filled(given, ds))
    lost: dict[Key, str] = {}
    for name in {*given.section("deepspeed_config"), *given.plugin} & FIELD_TO_DS.keys():
        value, key = _said(given, name)
        filled = any(key in claim.keys for claim in claims)
        if not filled and value is not None and key[0] != "plugin":
            lost[key] = "does not reach DeepSpeed, whose config file says it or leaves it out"
    paths = {claim.path for claim in claims}
    claims += [claim for claim in _from_config(given, ds) if claim.path not in paths]
    claims += scheduler_claims({"scheduler": _schedule(given, ds)}, claims)
    if _STEPS not in ds:
        claims.append(Claim("batch.accumulation", 1))  # utils/dataclasses.py:1275 of 1.15.0
    if _CLIP not in ds:
        # rendered, the key is always there: so the value that holds without it is written
        claims.append(Claim(_CLIP, default_clipping(given.versions.get("deepspeed", ""))))
    consumed = {given.key("deepspeed_config", _FILE)}
    consumed |= {("ds", key) for key in (_MICRO, _WHOLE) if ds.get(key) == "auto"}
    # fields that say as much would do other things besides: so the file stays a file
    implied = {"deepspeed_config": {_FILE: DS_FILE}} if _like_fields(ds) else {}
    return Draft(tuple(claims), {"ds": "deepspeed"}, frozenset(consumed), lost, implied)


def _like_fields(ds: Mapping[str, Any]) -> bool:
    """Rendering would think that fields suffice."""
    known = {*DS_FIELDS, *DS_IMPLIED, *DS_PRECISION, "zero_optimization"}
    return all(
        key in known and not (key in DS_FIELDS and value in DS_FIELDS[key].never)
        for key, value in flat(ds).items()
        if not isinstance(value, list)
    )


def _filled(given: Given, ds: Mapping[str, Any]) -> Iterator[Claim]:
    for name, path in _PATHS.items():
        place = FIELD_TO_DS[name]
        value, key = _said(given, name)
        if value not in (None, "auto") and lookup(ds, place) == "auto" and not isinstance(value, Unknown):
            yield Claim(path, value, (key, ("ds", *place.split("."))))
    steps, keys = given.steps()
    if steps is not None and ds.get(_STEPS) == "auto":
        yield Claim("batch.accumulation", steps, (*keys, ("ds", _STEPS)))
    yield from _dummy(given, ds)


def _dummy(given: Given, ds: Mapping[str, Any]) -> Iterator[Claim]:
    """DeepSpeed's optimizer with the numbers of the script's DummyOptim in it."""
    kinds = {said: (name, params) for name, (said, params) in DS_OPTIMIZERS.items()}
    kind, known = kinds.get(lookup(ds, "optimizer.type"), ("", ()))
    params = mapping(lookup(ds, "optimizer.params"))
    made = mapping(mapping(given.trees.get("prepared")).get("optimizer"))
    if not kind or not made.get("dummy") or params.get("lr") != "auto":
        return
    values = {n: made.get(n) if params[n] == "auto" else params[n] for n in known if n in params}
    unsure = (None, "auto")
    if "weight_decay" not in values or any(v in unsure or isinstance(v, Unknown) for v in values.values()):
        return
    yield Claim("optimizer.type", kind, (("ds", "optimizer", "type"),))
    yield Claim("optimizer.owner", "deepspeed")
    for name, value in values.items():
        keys = (("prepared", "optimizer", name),) if params[name] == "auto" else ()
        yield Claim(f"optimizer.{name}", value, (("ds", "optimizer", "params", name), *keys))


def _schedule(given: Given, ds: Mapping[str, Any]) -> Any:
    """DeepSpeed's scheduler with the numbers of the script's DummyScheduler and optimizer in it:
    accelerator.py:2334-2354 of 1.15.0."""
    block, params = mapping(ds.get("scheduler")), mapping(lookup(ds, "scheduler.params"))
    made = mapping(mapping(given.trees.get("prepared")).get("scheduler"))
    if not made.get("dummy"):
        return block
    total, ranks = number(made.get("total_num_steps")), given.ranks
    if given.accelerator.get("split_batches"):
        ranks = 1  # then the steps are counted once
    said = {
        "warmup_num_steps": number(made.get("warmup_num_steps")),
        "total_num_steps": ceil(total / ranks) if total and ranks else None,
        "warmup_min_lr": 0,
        "warmup_max_lr": made.get("lr"),
    }
    filled = {name: said.get(name) if value == "auto" else value for name, value in params.items()}
    return {**block, "params": filled}


def _from_config(given: Given, ds: Mapping[str, Any]) -> Iterator[Claim]:
    """The keys that stand for themselves."""
    whole = lookup(ds, "optimizer.params.weight_decay") is not UNSET
    for claim in config_claims(ds, _DIALECT):
        if claim.path.startswith("optimizer.") and not whole:
            continue  # rendered, DummyOptim would be asked for what is missing
        if claim.path == "batch.global" and given.ranks is None:
            continue  # it cannot be counted: the key stays
        yield claim


def _init(given: Given, stage: Any) -> Iterator[Claim]:
    """zero3_init_flag is set to false below ZeRO-3 (utils/dataclasses.py:1337 of 1.15.0)."""
    value, key = _said(given, "zero3_init_flag")
    if value is False or (value is True and stage == 3):
        yield Claim("zero.init_on_load", value, (key,))


def _ulysses(given: Given) -> Iterator[Claim]:
    """The sizes that rendering writes for these ranks; any others stay words."""
    prefix, section = "parallelism_config_", given.section("parallelism_config")
    names = {str(name).removeprefix(prefix): str(name) for name in section}
    values = {short: section[name] for short, name in names.items()}

    def key(name: str) -> Key:
        return given.key("parallelism_config", names[name])

    size, ranks = number(values.get("sp_size")), given.ranks
    if size is None or size < 2 or not ranks or ranks % size:
        return
    if values.get("sp_backend") != "deepspeed" or values.get("dp_shard_size") != ranks // size:
        return
    yield Claim("parallelism.ulysses", size, (key("sp_size"), key("sp_backend"), key("dp_shard_size")))
    for name, path in (
        ("sp_attn_implementation", "parallelism.ulysses_attention"),
        ("sp_seq_length_is_variable", "parallelism.ulysses_sequence_length_is_variable"),
    ):
        if values.get(name) is not None:
            yield Claim(path, values[name], (key(name),))
    if values.get("sp_seq_length_is_variable") is False and number(values.get("sp_seq_length")):
        yield Claim("training.sequence_length", values["sp_seq_length"], (key("sp_seq_length"),))
