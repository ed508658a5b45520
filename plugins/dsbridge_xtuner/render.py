"""The target `xtuner`: a DeepSpeed file, fields of the config, and the launch."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from dsbridge.sdk import (
    UNSET,
    Diagnostic,
    DsConfig,
    Launch,
    Rendered,
    RenderRequest,
    Severity,
    batch_numbers,
    finish_launch,
    refused_kind,
    show,
    to_json,
)
from dsbridge_xtuner import codes
from dsbridge_xtuner.ds import deepspeed_config, uses_deepspeed
from dsbridge_xtuner.launch import STARTS, start
from dsbridge_xtuner.options import NotSayable, encode
from dsbridge_xtuner.own import add_own, named_config, unknown_keys
from dsbridge_xtuner.refusals import refusals
from dsbridge_xtuner.settings import settle
from dsbridge_xtuner.shape import Shape, assumed
from dsbridge_xtuner.wants import Context, Wants


def render(request: RenderRequest) -> Rendered:
    """`ds_config.json`, `launch.sh`, and with --base an edited copy of the config."""
    found: list[Diagnostic] = list(unknown_keys(request))
    base = _base(request)
    named = (PurePath(request.base.name).name, base.shape) if request.base and base else None
    named = named or named_config(request, found)
    found += refusals(request, named[1] if named else None)
    asked = uses_deepspeed(request.spec) or any(path.startswith("fsdp.") for path in request.values)
    built = deepspeed_config(request.spec) if asked else DsConfig({}, frozenset(), ())
    found += [d for d in built.diagnostics if not d.key or not d.key.startswith("parallelism.tp")]
    claimed = set(built.claimed) | _claimed(request)
    config, shape = named or ("config.py", assumed("the config"))
    wants = Wants(shape)
    settle(Context(request, wants, _accumulation(request, shape)))
    add_own(request, wants)
    words = [] if base else _encoded(wants.fields, wants)
    if named is None or any(d.severity is Severity.ERROR for d in (*found, *wants.found)):
        # nothing is written: all that stands against the spec is told, and not what writing would tell
        found += [d for d in wants.found if d.severity is Severity.ERROR]
        return Rendered({}, Launch(), frozenset(claimed | set(request.values)), tuple(found))
    found += _notes(request, shape)
    files: dict[str, str] = {}
    if base is not None:
        from dsbridge_xtuner.base import edit

        files[config], options = edit(base, wants, request.header())
        if not shape.known:
            message = (
                f"{config} inherits from other files; the fields it takes from them are set by launch.sh"
            )
            hint = "Keep the copy in the folder of the original, or those files beside it."
            found.append(codes.MOVED(message, hint=hint))
        words = _encoded(options, wants)
    flags = {name: str(value) for name, value in wants.flags.items()}
    if built.config:
        files["ds_config.json"] = to_json(built.config)
    started = finish_launch(request, start(request, config, flags, words), files)
    found += [*refused_kind(request, STARTS, "xtuner train"), *started.diagnostics]
    claimed |= wants.claimed | started.claimed
    return Rendered({**files, **started.files}, started.launch, frozenset(claimed), (*found, *wants.found))


def _base(request: RenderRequest) -> Any:
    if request.base is None:
        return None
    from dsbridge_xtuner.base import parse

    return parse(request.base)


def _claimed(request: RenderRequest) -> set[str]:
    """What the launch and the DeepSpeed file say, or refusals.py has refused."""
    names = {"optimizer.owner", "scheduler.owner"}
    return names | {p for p in request.values if p.startswith("fsdp.")}


def _accumulation(request: RenderRequest, shape: Shape) -> int | None:
    """Micro-steps in an optimizer step: the spec's, else what the config is known to have."""
    given = batch_numbers(request.spec).accumulation
    known = shape.number("optim_wrapper.accumulative_counts") if shape.known else None
    return given if given is not None else (int(known) if known else None)


def _notes(request: RenderRequest, shape: Shape) -> list[Diagnostic]:
    spec = request.spec
    found: list[Diagnostic] = []
    if spec.gradient_clipping is UNSET and uses_deepspeed(spec):
        message = "no `gradient_clipping`: the config's clip_grad.max_norm holds, or 1.0 where it has none"
        hint = "XTuner never leaves gradients unclipped (0.2.0 tools/train.py:328); write 0 to switch it off."
        found.append(codes.CLIPPING(message, hint=hint))
    config = request.own().get("config")
    if request.base and config and _stem(str(config)) != _stem(request.base.name):
        message = f"--base {request.base.name} is trained, not `frameworks.xtuner.config: {config}`"
        found.append(codes.BASE_CHANGED(message, key="frameworks.xtuner.config"))
    return found


def _stem(config: str) -> str:
    """A config's name, however it is given."""
    return PurePath(config).name.removesuffix(".py")


def _encoded(options: dict[str, Any], wants: Wants) -> list[str]:
    """`field=value` words; what mmengine would read as something else is refused."""
    words: list[str] = []
    told: set[str] = set()
    for path, value in options.items():
        try:
            words.append(f"{path}={encode(value)}")
        except NotSayable as error:
            key = wants.keys.get(path, path)
            if key not in told:  # one path stands in many fields
                message = f"`{path}={show(value)}` cannot be passed as an option: {error}"
                hint = "Use another name (a link to the folder), or edit a copy of the config (--base)."
                wants.tell(codes.NOT_SAYABLE(message, hint=hint, key=key))
            told.add(key)
    return words
