"""The passes of the target `trainer`."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from dsbridge.sdk import (
    UNSET,
    Diagnostic,
    InputError,
    Placed,
    Rendered,
    RenderRequest,
    Source,
    Word,
    asks_for_deepspeed,
    ds_config,
    finish_launch,
    refused_kind,
    show,
    to_json,
    unsupported,
)
from dsbridge_trainer import codes, trl_table, ulysses
from dsbridge_trainer.arguments import together, training_arguments
from dsbridge_trainer.dialect import DIALECT
from dsbridge_trainer.fields import rows_for
from dsbridge_trainer.fsdp import STRATEGY, fsdp_settings, words_of
from dsbridge_trainer.launch import ONE_PROCESS, STARTS, alone, start
from dsbridge_trainer.merge import into_base, with_own
from dsbridge_trainer.native import native
from dsbridge_trainer.refusals import autotp, is_lora, under_fsdp, universal, uses_fsdp
from dsbridge_trainer.snippet import adapter_line, snippet

ARGUMENTS_FILE = "training_args.json"
DS_FILE = "ds_config.json"
_IN_SNIPPET = ("model.name_or_path", "model.trust_remote_code", "model.attention")


def render(request: RenderRequest) -> Rendered:
    """`training_args.json`, `ds_config.json` unless FSDP is used, the snippet and the launch."""
    files: dict[str, str] = {}
    kind, wrong = _class(request)
    built = training_arguments(request, rows_for(kind, {}))
    sharded, env = _fsdp(request) if uses_fsdp(request) else _deepspeed(request, files)
    parts = together([built, sharded, _from_spec(request)])
    keys, found = with_own(request, parts.document("args"))
    keys.pop("class", None)
    name, text, changed = _arguments_file(request, keys)
    files = {name: text, **files, "train_snippet.py": snippet(request, name, kind)}
    started = finish_launch(request, start(request, env), files)
    told = refused_kind(request, STARTS, "torchrun")
    if alone(request.spec):
        told.append(unsupported("launch.kind", "accelerate", ONE_PROCESS, "Write `launch.kind: torchrun`."))
    diagnostics = (*wrong, *parts.diagnostics, *found, *changed, *told, *started.diagnostics)
    return Rendered({**files, **started.files}, started.launch, parts.claimed | started.claimed, diagnostics)


def _class(request: RenderRequest) -> tuple[str, list[Diagnostic]]:
    """`frameworks.trainer.class`: TRL's class that takes the arguments; "" for TrainingArguments."""
    name = request.own().get("class", "")
    if name == "" or (isinstance(name, str) and trl_table.is_arguments(name)):
        return name, []
    hint = "Write SFTConfig, DPOConfig or another class of TRL's, or remove it for TrainingArguments."
    found = codes.NO_CLASS(f"TRL has no class of arguments {show(name)}", hint=hint,
                           key="frameworks.trainer.class")  # fmt: skip
    return "", [found]


def _deepspeed(request: RenderRequest, files: dict[str, str]) -> tuple[Placed, dict[str, Word]]:
    spec = request.spec
    if not asks_for_deepspeed(spec):
        return Placed({}, frozenset({"precision.dtype"})), {}
    built = ds_config(spec, DIALECT)
    files[DS_FILE] = to_json(built.config)
    env, missing = ulysses.environment(spec)
    found = [*built.diagnostics, *autotp(built.config, lora=is_lora(spec)), *universal(spec), *missing]
    found += native(spec, built.config, DIALECT)
    claimed = built.claimed | ulysses.CLAIMED
    return Placed({"args": {"deepspeed": DS_FILE}}, claimed, tuple(found)), env


def _fsdp(request: RenderRequest) -> tuple[Placed, dict[str, Word]]:
    """transformers 5.23.0 training_args.py:2775 _process_fsdp_args."""
    settings = fsdp_settings(request, offload="cpu_offload", default_version=2)
    found = [*settings.diagnostics, *under_fsdp(request)]
    said = {path[5:]: value for path, value in request.values.items() if path.startswith("fsdp.")}
    own, words = request.own().get("fsdp"), words_of(said)
    if isinstance(own, str) and own.split() == words:
        switch: Any = own  # for an older Transformers; the newest takes the words too
    else:
        switch = True
        found.append(
            codes.FSDP_VERSION(
                "`fsdp: true` with everything in `fsdp_config` is read so by Transformers 5.23; older ones "
                "take offload and wrapping from the words of `fsdp`",
                hint=f'With an older Transformers write `frameworks.trainer.fsdp: "{" ".join(words)}"`.',
                key="fsdp",
            )
        )
    args: dict[str, Any] = {"fsdp": switch, "fsdp_config": settings.document("fsdp")}
    claimed = settings.claimed | {"parallelism.tp", "parallelism.ulysses"}
    sharding = said.get("sharding", "full_shard")
    env: dict[str, Word] = {}
    if settings.document("fsdp")["version"] == 1 and sharding != "full_shard":
        env[STRATEGY] = str(sharding).upper()  # Transformers 5 does not hand it on to Accelerate
    return Placed({"args": args}, claimed, tuple(found)), env


def _from_spec(request: RenderRequest) -> Placed:
    """What is neither an argument nor DeepSpeed's: the model, adapters, and what has no place."""
    spec = request.spec
    claimed = {*_IN_SNIPPET, "parallelism.ep", "zero.init_on_load"}
    found: list[Diagnostic] = [*_finetuning(request, claimed)]
    if spec.precision.dtype == "fp8":
        claimed.add("precision.fp8_backend")
        why = "TrainingArguments says bf16 and fp16 only"
        hint = "Write `precision.dtype: bf16`, or use the target llamafactory or accelerate."
        found.append(codes.NO_FP8(f"`precision.dtype: fp8`: {why}", hint=hint, key="precision.dtype"))
    if spec.parallelism.ep not in (UNSET, 1):
        reason = "TrainingArguments has no expert parallelism; your model code must do it"
        found.append(unsupported("parallelism.ep", spec.parallelism.ep, reason))
    if spec.zero.init_on_load is False:
        found.append(init_always())
    if spec.training.eval_steps is not UNSET:
        hint = "Pass eval_dataset=... to the Trainer."
        found.append(codes.EVAL_DATA("`training.eval_steps` is set", hint=hint, key="training.eval_steps"))
    return Placed({}, frozenset(claimed), tuple(found))


def init_always() -> Diagnostic:
    """transformers 5.23.0 integrations/deepspeed.py:276: stage 3 alone decides, no argument does."""
    reason = "at stage 3 the Trainer always builds the model under zero.Init, below it never"
    return unsupported("zero.init_on_load", False, reason)


def _finetuning(request: RenderRequest, claimed: set[str]) -> list[Diagnostic]:
    spec = request.spec
    paths = [path for path in request.values if path.startswith("finetuning.")]
    claimed |= set(paths)
    if is_lora(spec):
        said = paths[0]  # the method, where it is given
        value = show(request.values[said])
        return [
            codes.IN_CODE(
                f"`{said}: {value}` is no argument of the Trainer; train_snippet.py says it",
                hint=f"Your script needs: get_peft_model(model, {adapter_line(spec)})",
                key=said,
            )
        ]
    others = [path for path in paths if request.values[path] != "full"]
    reason = "the Trainer trains whatever your script leaves trainable"
    hint = "Set `requires_grad` of the parameters, or wrap the model with PEFT, in your script."
    return [unsupported(path, request.values[path], reason, hint) for path in others]


def _arguments_file(request: RenderRequest, keys: dict[str, Any]) -> tuple[str, str, list[Diagnostic]]:
    """The arguments by themselves, or in the user's own JSON file."""
    base = request.base
    if base is None:
        return ARGUMENTS_FILE, to_json(keys), []
    try:
        known = json.loads(base.text, parse_constant=_not_strict, parse_float=_finite)
    except json.JSONDecodeError as error:
        at = Source(base.name, error.lineno, error.colno)
        hint = "The base of this target is a JSON file of TrainingArguments keyword arguments."
        raise InputError([codes.BAD_BASE(f"not JSON: {error.msg}", hint=hint, at=at)]) from None
    except ArithmeticError as error:
        raise InputError([codes.BAD_BASE(str(error), at=Source(base.name, 1))]) from None
    except RecursionError:
        raise InputError([codes.BAD_BASE("nested too deeply", at=Source(base.name, 1))]) from None
    if not isinstance(known, dict):
        hint = "Write a mapping of keyword arguments."
        raise InputError([codes.BAD_BASE("holds no mapping", hint=hint, at=Source(base.name, 1))])
    other = ("deepspeed",) if "deepspeed" not in keys else ("fsdp", "fsdp_config")
    found = into_base(known, keys, lambda _: Source(base.name), other)
    return base.name, to_json(known), found


def _not_strict(word: str) -> NoReturn:
    raise ArithmeticError(f"{word} is no number that JSON knows")


def _finite(text: str) -> float:
    """A number of the base; 1e999 is infinite to Python."""
    value = float(text)
    return value if math.isfinite(value) else _not_strict(text)
