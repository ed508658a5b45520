"""`deepspeed_config:` of the YAML: by fields where they say all of it, else by a DeepSpeed file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dsbridge.sdk import (
    AUTO,
    UNSET,
    Dialect,
    ParallelSpec,
    RenderRequest,
    asks_for_deepspeed,
    batch_numbers,
    dims,
    ds_config,
    optimizer_by_deepspeed,
    place,
    scheduler_by_deepspeed,
    show,
    to_json,
    unsupported,
)
from dsbridge_accelerate.codes import (
    BASE_FILE,
    CLIPPING,
    FILE_STYLE,
    FP8,
    NOT_FILLED,
    OPTIMIZER,
    OVERWRITTEN,
    TWO_OWNERS,
)
from dsbridge_accelerate.fields import (
    DS_FIELDS,
    DS_FILLS,
    DS_IMPLIED,
    DS_PRECISION,
    DUMMY_FILLS,
    FIELD_TO_DS,
    FP8_BACKEND,
    INIT_ON_LOAD,
    MIXED_PRECISION,
)
from dsbridge_accelerate.section import Section, flatten, put

DS_FILE = "ds_config.json"
_MICRO = "train_micro_batch_size_per_gpu"
STYLE_KEY = "deepspeed_config.deepspeed_config_file"
_REFUSED = "Accelerate refuses it beside deepspeed_config_file"


@dataclass(frozen=True)
class Built:
    """The DeepSpeed config as Accelerate is to read it; `open` are keys that the spec leaves open."""

    config: dict[str, Any]
    open: frozenset[str]

    @property
    def flat(self) -> dict[str, Any]:
        return flatten(self.config)


def deepspeed_section(request: RenderRequest, base: Mapping[str, Any]) -> tuple[Section, Built]:
    """The YAML's DeepSpeed part; `base` is the user's own YAML ({} without one)."""
    spec = request.spec
    section = Section(said={"distributed_type": "DEEPSPEED"})
    if _own(request).get("deepspeed_config_file") and not asks_for_deepspeed(spec):
        return _file_of_theirs(request, section)
    built = _build(request, section)
    section.take(place((FP8_BACKEND, INIT_ON_LOAD), request.values))
    section.claimed |= request.values.keys() & {"precision.dtype"}
    _one_launch_a_node(request, section)
    own = base.get("deepspeed_config") or {}
    reasons = _not_by_fields(built, spec)
    named = own.get("deepspeed_config_file")
    if named is not None:
        hint = f"Put what it says into the spec, or under `deepspeed:`; {DS_FILE} holds the spec's values."
        section.found.append(BASE_FILE(f"the base names `{named}`, which dsbridge does not read", hint=hint))
    if reasons or named is not None or _own(request).get("deepspeed_config_file") == DS_FILE:
        _by_file(request, section, built, base)
    else:
        _by_fields(section, built, spec)
    if reasons:
        section.found.append(_why_file(reasons))
    _remarks(section, built, spec, {**own, **_own(request)})
    return section, built


def _one_launch_a_node(request: RenderRequest, section: Section) -> None:
    """Without it Accelerate starts pdsh from every node (utils/launch.py:447-464)."""
    if dims(request.spec).nodes > 1 and "deepspeed_multinode_launcher" not in _own(request):
        section.said["deepspeed_config.deepspeed_multinode_launcher"] = "standard"


def _file_of_theirs(request: RenderRequest, section: Section) -> tuple[Section, Built]:
    """The user's own key names a file that dsbridge has not seen: it says all of it."""
    _one_launch_a_node(request, section)
    dtype = request.spec.precision.dtype
    section.claimed |= request.values.keys() & {"precision.dtype", "zero.init_on_load"}
    if dtype not in (UNSET, AUTO):
        section.said["mixed_precision"] = MIXED_PRECISION[str(dtype)]
    return section, Built({}, frozenset())


def _build(request: RenderRequest, section: Section) -> Built:
    spec = request.spec
    takes = {**_batch_takes(spec), **_open(request), **_dummy_takes(spec)}
    dialect = Dialect(
        title="Accelerate", takes=takes, fills=DS_FILLS, versions=("0.19.8",), knows_ulysses=True
    )
    made = ds_config(spec, dialect)
    section.claimed |= made.claimed | {p for p, v in request.values.items() if v is AUTO and p in _AUTO_PATHS}
    section.found += made.diagnostics
    left_open = set(_open(request))
    if spec.zero.stage is UNSET and "stage" not in _native(spec).get("zero_optimization", {}):
        left_open.add("zero_optimization.stage")
    built = Built(made.config, frozenset(left_open))
    known = DS_FILLS | set(DS_IMPLIED) | DUMMY_FILLS
    for key, value in built.flat.items():
        if value == "auto" and key not in known:
            message = f'`{key}: "auto"` stops Accelerate, which does not fill it'
            hint = "Write a value, or leave the key out."
            section.found.append(NOT_FILLED(message, hint=hint, key=f"deepspeed.{key}"))
    return built


_AUTO_PATHS = ("batch.accumulation", "gradient_clipping", "optimizer.lr", "optimizer.weight_decay")


def _batch_takes(spec: ParallelSpec) -> dict[str, str]:
    """A number that the spec knows is written: "auto" stops Accelerate where no DataLoader is prepared."""
    known = {*_native(spec), *((_MICRO,) if batch_numbers(spec).micro is not None else ())}
    return {name: "the script's DataLoader" for name in DS_IMPLIED if name not in known}


def _open(request: RenderRequest) -> dict[str, str]:
    """Keys that the spec leaves to Accelerate.

    Missing in a file, accumulation would become 1 whatever the script says (utils/dataclasses.py:1274)
    and clipping DeepSpeed's default, which changed from off to 1.0 in 0.19; "auto" is what the fields do.
    """
    native = _native(request.spec)
    found = {}
    if batch_numbers(request.spec).accumulation is None and "gradient_accumulation_steps" not in native:
        found["gradient_accumulation_steps"] = "Accelerator(gradient_accumulation_steps=...)"
    if request.spec.gradient_clipping in (UNSET, AUTO) and "gradient_clipping" not in native:
        found["gradient_clipping"] = "its default 1.0"
    return found


def _dummy_takes(spec: ParallelSpec) -> dict[str, str]:
    """What DummyOptim says where the spec does not: DeepSpeed's own default would be lr 1e-3."""
    steps = _dummy_steps(spec)
    if not optimizer_by_deepspeed(spec, Dialect(title="")):
        return steps
    unknown = [p for p in ("lr", "weight_decay") if getattr(spec.optimizer, p) in (UNSET, AUTO)]
    takes = {f"optimizer.params.{p}": f"DummyOptim({p}=...)" for p in unknown}
    if "lr" in unknown and scheduler_by_deepspeed(spec, Dialect(title="")):
        takes |= {f"scheduler.params.warmup_{p}_lr": "DummyOptim(lr=...)" for p in ("min", "max")}
    return takes | steps


def _dummy_steps(spec: ParallelSpec) -> dict[str, str]:
    """The length of the run, where only the script knows it, and a warm-up that is a share of it."""
    known = isinstance(spec.training.max_steps, int) and spec.training.max_steps > 0
    if known or not scheduler_by_deepspeed(spec, Dialect(title="")):
        return {}
    names = ["total_num_steps"]
    if isinstance(spec.scheduler.warmup_ratio, int | float):
        names.append("warmup_num_steps")
    return {f"scheduler.params.{name}": f"DummyScheduler({name}=...)" for name in names}


def _native(spec: ParallelSpec) -> dict[str, Any]:
    return spec.deepspeed if isinstance(spec.deepspeed, dict) else {}


def _not_by_fields(built: Built, spec: ParallelSpec) -> dict[str, str]:
    """The keys that only a file can say, with the reason ("" where there is simply no field)."""
    flat = built.flat
    said = spec.precision.dtype is not UNSET
    out = {}
    for key, value in flat.items():
        field = DS_FIELDS.get(key)
        if field is not None:
            if isinstance(value, dict | list) or value in field.never:
                out[key] = field.why
        elif key not in DS_IMPLIED and not (said and key in DS_PRECISION):
            out[key] = ""
    return out


def _why_file(reasons: Mapping[str, str]) -> Any:
    known = [f"`{key}` ({why})" for key, why in reasons.items() if why]
    plain = [f"`{key}`" for key, why in reasons.items() if not why]
    shown = [*known, *plain][:3]
    more = len(reasons) - len(shown)
    text = ", ".join(shown) + (f" and {more} more" if more else "")
    return FILE_STYLE(f"{DS_FILE} is written, because Accelerate has no field that says {text}")


def _by_fields(section: Section, built: Built, spec: ParallelSpec) -> None:
    for key, value in built.flat.items():
        field = DS_FIELDS.get(key)
        if field and value != "auto":  # a missing field is what "auto" means
            to = section.usual if key in built.open else section.said
            to[f"deepspeed_config.{field.key}"] = value
    if spec.precision.dtype not in (UNSET, AUTO):
        section.said["mixed_precision"] = MIXED_PRECISION[str(spec.precision.dtype)]


def _by_file(request: RenderRequest, section: Section, built: Built, base: Mapping[str, Any]) -> None:
    dtype = request.spec.precision.dtype
    if dtype is UNSET and not {"bf16", "fp16"} & built.config.keys():
        dtype = _precision_of(section, built, base)
    for name, key in FIELD_TO_DS.items():
        own = base.get("deepspeed_config") or {}
        if name in own:
            _move(section, built, name, key, own[name])
    for name in ("mixed_precision", "fp16"):
        if name in base:
            section.removed[name] = f"{_REFUSED}; {DS_FILE} says the precision"
    if dtype == "fp8":
        # the YAML key is refused beside a file, the flag is not; only it makes Accelerate use fp8
        section.flags += ["--mixed_precision", "fp8"]
    section.said[STYLE_KEY] = DS_FILE
    section.files[DS_FILE] = to_json(built.config)


def _precision_of(section: Section, built: Built, base: Mapping[str, Any]) -> Any:
    """The base's precision, where the spec gives none."""
    word = base.get("mixed_precision")
    known = {ours: spec for spec, ours in MIXED_PRECISION.items()}
    if word not in known:
        return UNSET
    built.config["bf16"] = {"enabled": word in ("bf16", "fp8")}
    built.config["fp16"] = {"enabled": word == "fp16"}
    return known[word]


def _move(section: Section, built: Built, name: str, key: str, value: Any) -> None:
    """A field of the base gives way to the file; what the spec leaves open keeps the base's value."""
    dotted = f"deepspeed_config.{name}"
    if (key in built.open or key not in built.flat) and value not in (None, "auto"):
        put(built.config, key, value)
        section.removed[dotted] = f"{_REFUSED}; {show(value)} is now `{key}` of {DS_FILE}"
    else:
        now = built.flat.get(key)
        section.removed[dotted] = f"{_REFUSED}; `{key}` of {DS_FILE} says {show(now)}"


def _own(request: RenderRequest) -> dict[str, Any]:
    fields = request.own().get("deepspeed_config")
    return fields if isinstance(fields, dict) else {}


def _remarks(section: Section, built: Built, spec: ParallelSpec, fields: Mapping[str, Any]) -> None:
    """`fields` are those of the user's own YAML, which hold where the spec leaves a key open."""
    flat = built.flat
    if "zero_optimization.stage" in built.open and "zero_stage" in fields:
        flat["zero_optimization.stage"] = fields["zero_stage"]
        section.found = [d for d in section.found if d.code != "DS005"]  # "0 is written"
    clips = flat.get("gradient_clipping") != "auto" or "gradient_clipping" in fields
    if not clips and spec.gradient_clipping is UNSET:
        hint = "Write `gradient_clipping: 0` for none, or another number."
        section.found.append(CLIPPING("no `gradient_clipping` is given: Accelerate clips at 1.0", hint=hint))
    if "steps_per_print" in flat:
        message = "Accelerate overwrites `steps_per_print` with infinity"  # utils/dataclasses.py:1326
        section.found.append(OVERWRITTEN(message, hint="Remove it.", key="deepspeed.steps_per_print"))
    if spec.zero.init_on_load is True and flat.get("zero_optimization.stage") != 3:
        section.found.append(
            unsupported("zero.init_on_load", True, "Accelerate sets it to false below ZeRO-3", "Remove it.")
        )
    if spec.precision.fp8_backend == "msamp" and flat.get("zero_optimization.stage") == 3:
        message = "MS-AMP does not run with ZeRO-3"  # utils/dataclasses.py:1346
        section.found.append(
            FP8(message, hint="Use `fp8_backend: te` or ZeRO-2.", key="precision.fp8_backend")
        )
    _owners(section, built, spec)
    if "optimizer" not in built.config:
        _torch_optimizer(section, built, spec)


def _owners(section: Section, built: Built, spec: ParallelSpec) -> None:
    """A native block beside settings that the spec gives to the script (accelerator.py:2251, 2266)."""
    plain = Dialect(title="")
    for name, ours in (("optimizer", optimizer_by_deepspeed), ("scheduler", scheduler_by_deepspeed)):
        settings = {k: v for k, v in vars(getattr(spec, name)).items() if k != "owner"}
        given = [k for k, v in settings.items() if v not in (UNSET, AUTO)]
        if name in built.config and given and not ours(spec, plain):
            message = (
                f"`deepspeed.{name}` is a block in the file, `{name}.{given[0]}` would be in your script"
            )
            hint = f"Write `{name}.owner: deepspeed` in place of the block, or keep the block alone."
            section.found.append(TWO_OWNERS(message, hint=hint, key=f"{name}.{given[0]}"))


def _torch_optimizer(section: Section, built: Built, spec: ParallelSpec) -> None:
    flat, kind = built.flat, spec.optimizer.type
    if spec.zero.allow_untested_optimizer is False:
        message = "Accelerate sets `zero_allow_untested_optimizer` to true for a torch optimizer"
        hint = "With `optimizer.owner: deepspeed` it would hold."
        section.found.append(OVERWRITTEN(message, hint=hint, key="zero.allow_untested_optimizer"))
    offloaded = flat.get("zero_optimization.offload_optimizer.device", "none") not in ("none", "auto")
    forced = flat.get("zero_force_ds_cpu_optimizer", True)
    # accelerator.py:2371-2384, utils/deepspeed.py map_pytorch_optim_to_deepspeed
    if offloaded and forced and kind not in (UNSET, AUTO, "adamw", "adam", "adagrad"):
        message = f"with an offloaded optimizer Accelerate replaces {kind} by DeepSpeed's CPU Adam"
        hint = "Write `zero.force_ds_cpu_optimizer: false` to keep it, or `optimizer.type: adamw`."
        section.found.append(OPTIMIZER(message, hint=hint, key="optimizer.type"))
