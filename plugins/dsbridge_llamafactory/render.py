"""The passes of the target `llamafactory`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsbridge.sdk import (
    UNSET,
    Diagnostic,
    Placed,
    Rendered,
    RenderRequest,
    Started,
    YamlEdit,
    asks_for_deepspeed,
    changed,
    dims,
    ds_config,
    finish_launch,
    optimizer_by_deepspeed,
    refused_kind,
    to_json,
    unsupported,
)
from dsbridge_llamafactory import codes, fsdp, launch
from dsbridge_llamafactory.fields import OWN
from dsbridge_llamafactory.refusals import Sharding, refusals
from dsbridge_llamafactory.training_yaml import edited, new_yaml
from dsbridge_llamafactory.under_accelerate import OWN as OWN_LAUNCHER
from dsbridge_trainer.arguments import together, training_arguments
from dsbridge_trainer.dialect import DIALECT as TRAINER
from dsbridge_trainer.merge import with_own
from dsbridge_trainer.native import native
from dsbridge_trainer.refusals import autotp, universal, uses_fsdp
from dsbridge_trainer.render import init_always

DIALECT = TRAINER._replace(title="LLaMA-Factory", versions=("0.18.4",))
TRAINING_FILE, DS_FILE = "train.yaml", "ds_config.json"


def render(request: RenderRequest) -> Rendered:
    """`train.yaml`, `ds_config.json` or, with FSDP, `accelerate_config.yaml`, and the launch."""
    sharded, files, config = _sharded(request)
    parts = together([_arguments(request), sharded, _own(request)])
    keys, found = with_own(_without_launcher(request), parts.document("args"))
    if OWN_LAUNCHER in request.own() and not uses_fsdp(request):
        path, reason = f"frameworks.{request.target}.{OWN_LAUNCHER}", "only FSDP needs Accelerate's launcher"
        found.append(unsupported(path, request.own()[OWN_LAUNCHER], reason))
    name = TRAINING_FILE if request.base is None else request.base.name
    text, finished, told = _training_file(request, keys)
    found += told
    stage = config.get("zero_optimization", {}).get("stage")
    found += refusals(request, finished, Sharding(stage, uses_fsdp(request)))
    found += autotp(config, lora=finished.get("finetuning_type", "lora") == "lora")
    files = {name: text, **files}
    started, notes = _launch(request, name, files)
    claimed = parts.claimed | started.claimed
    diagnostics = (*parts.diagnostics, *found, *notes, *started.diagnostics)
    return Rendered({**files, **started.files}, started.launch, claimed, diagnostics)


def _without_launcher(request: RenderRequest) -> RenderRequest:
    """`frameworks.llamafactory.accelerate` is for Accelerate's YAML, and for no other."""
    if OWN_LAUNCHER not in request.own():
        return request
    rest = {name: value for name, value in request.own().items() if name != OWN_LAUNCHER}
    return request._replace(spec=changed(request.spec, frameworks={request.target: rest}))


def _arguments(request: RenderRequest) -> Placed:
    """The Trainer's arguments and LLaMA-Factory's; Muon is a switch of its own here."""
    spec = request.spec
    if spec.optimizer.type != "muon" or optimizer_by_deepspeed(spec, DIALECT):
        return training_arguments(request, OWN, ratio_key=True)
    rest = {path: value for path, value in request.values.items() if path != "optimizer.type"}
    other = changed(spec, optimizer=changed(spec.optimizer, type=UNSET))
    placed = training_arguments(request._replace(spec=other, values=rest), OWN, ratio_key=True)
    return together([placed, Placed({"args": {"use_muon": True}}, frozenset({"optimizer.type"}))])


def _sharded(request: RenderRequest) -> tuple[Placed, dict[str, str], dict[str, Any]]:
    """What decides the sharding: the keys it adds, its file, and the DeepSpeed config."""
    if uses_fsdp(request):
        placed, text = fsdp.fsdp(request)
        return placed, {fsdp.ACCELERATE_FILE: text}, {}
    if not asks_for_deepspeed(request.spec):
        return Placed({}, frozenset({"precision.dtype"})), {}, {}
    built = ds_config(request.spec, DIALECT)
    found = [*built.diagnostics, *universal(request.spec)]
    found += native(request.spec, built.config, DIALECT)
    placed = Placed({"args": {"deepspeed": DS_FILE}}, built.claimed, tuple(found))
    return placed, {DS_FILE: to_json(built.config)}, built.config


def _own(request: RenderRequest) -> Placed:
    """What LLaMA-Factory needs beyond one key for one value."""
    spec = request.spec
    by_ray, found = launch.ray_keys(request)
    keys: dict[str, Any] = dict(by_ray)
    claimed = {"parallelism.ulysses", "parallelism.ep", "zero.init_on_load"}
    if spec.finetuning.method == "qlora" and spec.finetuning.quantization_bits is UNSET:
        keys["quantization_bit"] = 4
    if spec.precision.dtype == "fp8":
        # fp8 layers run inside bf16 training (0.9.5 train/fp8_utils.py:108)
        keys["fp8"] = True
        message = "`precision.dtype: fp8` is the key `fp8`, which LLaMA-Factory 0.9.3 does not know"
        found.append(codes.FP8(message, hint="Use LLaMA-Factory 0.9.4 or newer.", key="precision.dtype"))
    if dims(spec).ulysses > 1 and not uses_fsdp(request):
        found.append(
            codes.NO_ULYSSES(
                f"`parallelism.ulysses: {dims(spec).ulysses}`: LLaMA-Factory 0.9.5 has no key for it",
                hint="Use the target accelerate, trainer or xtuner; or shorten `training.sequence_length`.",
                key="parallelism.ulysses",
            )
        )
    if spec.parallelism.ep not in (UNSET, 1):
        reason = "LLaMA-Factory's DeepSpeed training has no expert parallelism"
        found.append(unsupported("parallelism.ep", spec.parallelism.ep, reason))
    if spec.zero.init_on_load is False:
        found.append(init_always())
    return Placed({"args": keys}, frozenset(claimed), tuple(found))


def _training_file(
    request: RenderRequest, keys: dict[str, Any]
) -> tuple[str, dict[str, Any], list[Diagnostic]]:
    """The text of the training YAML, all its keys, and what to tell."""
    if request.base is None:
        finished, found = _with_defaults(keys, {})
        return new_yaml(finished, request.header()), finished, found
    base = YamlEdit(*request.base)
    keys, found = _with_defaults(keys, base)
    without = ("deepspeed",) if uses_fsdp(request) else ("fsdp", "fsdp_config")
    text, changed = edited(base, keys, request.header(), without)
    return text, dict(base), [*found, *changed]


def _with_defaults(keys: dict[str, Any], base: Mapping[str, Any]) -> tuple[dict[str, Any], list[Diagnostic]]:
    """What it needs to run at all, unless the spec or the user's file says it."""
    defaults = {"stage": "sft", "do_train": True, "finetuning_type": "lora"}
    missing = {key: value for key, value in defaults.items() if key not in keys and key not in base}
    found = []
    if "finetuning_type" in missing:
        found.append(
            codes.METHOD_ASSUMED(
                "no `finetuning.method` is given: lora is written, LLaMA-Factory's default",
                hint="Write `finetuning: {method: full}` to train all weights.",
                key="finetuning",
            )
        )
    return {**missing, **keys}, found


def _launch(request: RenderRequest, name: str, files: Mapping[str, str]) -> tuple[Started, list[Diagnostic]]:
    if uses_fsdp(request):
        start, starts, usual = fsdp.start(request, name), fsdp.STARTS, "accelerate launch"
    else:
        start, starts, usual = launch.start(request, name), launch.STARTS, "llamafactory-cli"
    found = [*refused_kind(request, starts, usual), *launch.unsplittable(start)]
    if any(c.isspace() for c in name):
        # 0.9.5 launcher.py:121 joins the words and splits them again
        hint = "Give the file a name without spaces."
        found.append(codes.FILE_NAME(f"`{name}` has a space in its name", hint=hint))
    return finish_launch(request, start, files), found
