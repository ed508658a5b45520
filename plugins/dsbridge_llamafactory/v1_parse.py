"""A V1 training YAML in the spec's words. A key counts as far as it reaches training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from dsbridge.rulebook import Reading, Setup, lookup
from dsbridge.sdk import (
    UNSET,
    Claim,
    Diagnostic,
    Dialect,
    Draft,
    Field,
    cluster_claims,
    config_claims,
    default_clipping,
    rank_claims,
)
from dsbridge_llamafactory import v1_fields as fields
from dsbridge_llamafactory.codes import V1_ENVIRONMENT
from dsbridge_llamafactory.parse import ENVIRONMENT
from dsbridge_llamafactory.v1_table import default
from dsbridge_trainer.dialect import FILLS

_MICRO, _STEPS, _WHOLE = "train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "train_batch_size"
_CLIP = "gradient_clipping"
# what V1 or Accelerate puts there; each is decided below
_DECIDED = dict.fromkeys((_MICRO, _STEPS, _WHOLE, _CLIP, "bf16.enabled", "fp16.enabled"), "")
_DIALECT = Dialect(title="LLaMA-Factory's V1", takes=_DECIDED, fills=FILLS)
_LOST = {
    "max_grad_norm": "never reaches DeepSpeed: V1 gives it to nobody, and the ds_config's gradient_clipping "
    "holds",
    "bf16": "never reaches DeepSpeed: the ds_config decides about bf16",
}
_PLAIN_BF16 = "is read with `dist_config: {name: fsdp2}` alone"
Key = tuple[str, ...]


class Given(NamedTuple):
    """The YAML with texts made numbers, the ds_config, and what is found on the way."""

    v1: Mapping[str, Any]
    ds: Mapping[str, Any] | None
    deepspeed_version: str
    consumed: set[Key]
    lost: dict[Key, str]
    silent: dict[str, Any]
    implied: dict[str, Any]

    @property
    def dist(self) -> Any:
        """The name of the plugin that shards; None for torch's DDP."""
        name = lookup(self.v1, "dist_config.name")
        return None if name is UNSET else name


def parse(setup: Setup, reading: Reading) -> Draft:
    """The YAML, the DeepSpeed config it names, and the launcher."""
    v1, ds = reading.trees["v1"], reading.trees.get("ds")
    used = ds if isinstance(ds, Mapping) else None
    implied: dict[str, Any] = {fields.DIALECT_KEY: fields.DIALECT}
    given = Given(v1, used, setup.versions.get("deepspeed", ""), set(), {}, dict(fields.SILENT), implied)
    sharding = list(_sharding(given))
    said = {claim.path for claim in sharding}
    top = [row for row in fields.TOP if row.path not in said]
    claims = [*_rows(top, v1), *_method(given), *sharding]
    claims += [*cluster_claims(setup, reading), *rank_claims(setup.environ, "env", ENVIRONMENT)]
    if v1["command"] not in ("sft", "train"):
        implied["command"] = v1["command"]
    homes = {"lf": "own", "ds": "deepspeed"}
    consumed = frozenset(given.consumed)
    told = tuple(_variables(setup.given_environ))
    return Draft(tuple(claims), homes, consumed, given.lost, implied, given.silent, told, alike=False)


def _variables(environ: Mapping[str, str]) -> Iterator[Diagnostic]:
    """Accelerate fills from its variables what the ds_config leaves open."""
    for name, value in environ.items():
        if name.startswith("ACCELERATE_") or name == "ALLOW_EXTRA_KEYS":
            message = f"`{name}={value}` is not in the spec, and what it does is lost"
            hint = "Write what it says into the YAML or the DeepSpeed config."
            yield V1_ENVIRONMENT(message, hint=hint, key=name)


def _rows(rows: Iterable[Field], v1: Mapping[str, Any]) -> Iterator[Claim]:
    """What single keys say, at any depth; null says nothing."""
    for row in rows:
        value = lookup(v1, row.key)
        if value is not UNSET and value is not None:
            yield Claim(row.path, value, (_key(row.key),))


def _key(dotted: str) -> Key:
    return ("lf", *dotted.split("."))


def _method(given: Given) -> Iterator[Claim]:
    """An adapter's plugin, or all weights; over quantized weights LoRA is a method of its own."""
    name = lookup(given.v1, "peft_config.name")
    bits = lookup(given.v1, "quant_config.quantization_bit")
    usual = lookup(given.v1, "quant_config.name") == "bnb"
    for claim in _rows(fields.QUANT, given.v1):
        named = usual and claim.path == "finetuning.quantization_bits"
        yield claim._replace(keys=(*claim.keys, _key("quant_config.name"))) if named else claim
    if name is UNSET:
        yield Claim("finetuning.method", "full")
    elif name == "lora":
        given.silent.update(fields.SILENT_LORA)
        yield Claim("finetuning.method", "lora" if bits is UNSET else "qlora", (_key("peft_config.name"),))
        yield from _rows(fields.LORA, given.v1)
    elif name == "freeze":
        yield Claim("finetuning.method", "freeze", (_key("peft_config.name"),))
        yield from _rows(fields.FREEZE, given.v1)


def _sharding(given: Given) -> Iterator[Claim]:
    if given.dist == "deepspeed" and given.ds is not None:
        given.consumed.update(map(_key, ("dist_config.name", "dist_config.config_file")))
        yield from config_claims(given.ds, _DIALECT)
        yield from _batch(given, given.ds)
        yield from _clipping(given, given.ds)
        yield from _precision(given, given.ds)
        return
    if given.dist == "fsdp2":
        yield Claim("fsdp.version", 2, (_key("dist_config.name"),))
        context = lookup(given.v1, "dist_config.cp_mode") in (UNSET, "ulysses")
        yield from _rows((row for row in fields.FSDP2 if context or "cp_size" not in row.key), given.v1)
        given.silent.update({"precision.dtype": "bf16", "fsdp.reshard_after_forward": True})
        if isinstance(given.v1.get("bf16"), bool):
            yield Claim("precision.dtype", "bf16" if given.v1["bf16"] else "fp32", (_key("bf16"),))
    elif given.dist is None:
        given.silent["precision.dtype"] = "fp32"
        given.lost[_key("bf16")] = _PLAIN_BF16
    yield from _by_trainer(given)


def _by_trainer(given: Given) -> Iterator[Claim]:
    """Without DeepSpeed V1 itself accumulates and clips."""
    given.silent[_CLIP] = default("max_grad_norm")
    yield from _global(given)
    if given.v1.get("max_grad_norm") is not None:
        yield Claim(_CLIP, given.v1["max_grad_norm"], (_key("max_grad_norm"),))


def _global(given: Given) -> Iterator[Claim]:
    whole = given.v1.get("global_batch_size")
    if whole is None:
        yield Claim("batch.accumulation", 1)
    else:
        yield Claim("batch.global", whole, (_key("global_batch_size"),))


def _batch(given: Given, ds: Mapping[str, Any]) -> Iterator[Claim]:
    """Numbers of the ds_config are what DeepSpeed counts with, whatever V1 loads."""
    micro, own = ds.get(_MICRO), given.v1.get("micro_batch_size", default("micro_batch_size"))
    if micro in (None, "auto") or micro == own:
        given.consumed.add(("ds", _MICRO))
    elif _whole(micro):
        # the YAML's number goes on loading samples: it stays V1's own
        given.implied.setdefault("micro_batch_size", own)
        yield Claim("batch.micro_per_gpu", micro, (("ds", _MICRO),))
    steps = ds.get(_STEPS, UNSET)
    if steps == "auto":
        given.consumed.add(("ds", _STEPS))
        yield from _scaled(given, ds) if _whole(micro) and micro != own else _global(given)
    elif steps is UNSET or _whole(steps):
        # Accelerate takes 1 where there is no key; V1's own number goes on counting its micro batches
        given.implied.setdefault("global_batch_size", given.v1.get("global_batch_size"))
        keys = () if steps is UNSET else (("ds", _STEPS),)
        yield Claim("batch.accumulation", 1 if steps is UNSET else steps, keys)
    if ds.get(_WHOLE) == "auto":
        given.consumed.add(("ds", _WHOLE))


def _scaled(given: Given, ds: Mapping[str, Any]) -> Iterator[Claim]:
    """Accumulation comes of V1's own numbers, and DeepSpeed multiplies it by a micro batch of its own."""
    whole, micro = given.v1.get("global_batch_size"), ds[_MICRO]
    own = given.v1.get("micro_batch_size", default("micro_batch_size"))
    if whole is None:
        yield Claim("batch.accumulation", 1)
    elif _whole(whole) and _whole(own) and own > 0 and whole % own == 0:
        yield Claim("batch.global", whole // own * micro)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _clipping(given: Given, ds: Mapping[str, Any]) -> Iterator[Claim]:
    """ "auto" is Accelerate's 1.0: V1's max_grad_norm is not asked."""
    said, own = ds.get(_CLIP, UNSET), given.v1.get("max_grad_norm")
    value = default_clipping(given.deepspeed_version) if said is UNSET else 1.0 if said == "auto" else said
    keys: list[Key] = [("ds", _CLIP)] if said is not UNSET else []
    if own is not None and own == value:
        keys.append(_key("max_grad_norm"))
    elif own is not None:
        given.lost[_key("max_grad_norm")] = _LOST["max_grad_norm"]
    yield Claim(_CLIP, value, tuple(keys))


def _precision(given: Given, ds: Mapping[str, Any]) -> Iterator[Claim]:
    """bf16 unless the config says no; V1 stops at fp16."""
    said = {name: str(lookup(ds, f"{name}.enabled")).lower() for name in ("bf16", "fp16")
            if lookup(ds, f"{name}.enabled") is not UNSET}  # fmt: skip
    if said.get("fp16") == "true" or any(not isinstance(ds.get(n, {}), Mapping) for n in ("bf16", "fp16")):
        return
    bf16 = said.get("bf16") == "true" or "false" not in said.values()
    keys: list[Key] = [("ds", name, "enabled") for name in said]
    own = given.v1.get("bf16")
    if own is bf16:
        keys.append(_key("bf16"))
    elif own is not None:
        given.lost[_key("bf16")] = _LOST["bf16"]
    yield Claim("precision.dtype", "bf16" if bf16 else "fp32", tuple(keys))
