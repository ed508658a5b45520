"""AcceleratorState: the copy of the config that transformers is shown, and gradient accumulation."""

from __future__ import annotations

from typing import Any

from dsbridge.rulebook import (
    UNSET,
    Expr,
    OverrideRule,
    all_of,
    any_of,
    as_repr,
    differs,
    eq,
    first_set,
    get,
    is_a,
    is_auto,
    is_set,
    missing,
    no,
    reads_as_int,
    same,
    text,
    to_int,
    to_text,
    truthy,
)
from dsbridge_accelerate.rules._make import (
    ACCELERATOR,
    COMM_SINCE,
    PLUGIN,
    STATE,
    USED,
    ev,
    refusal,
    until,
    write,
)

_U = {"deepspeed.used": True}
_STEPS = "gradient_accumulation_steps"
_MICRO = "train_micro_batch_size_per_gpu"


def _unfilled(name: str) -> Expr:
    return any_of(missing(get(f"ds.{name}")), is_auto(get(f"ds.{name}")))


def _copy(
    code: str, path: str, value: Any, when: Expr, line: tuple[str, str, str], **more: Any
) -> OverrideRule:
    lines, quote, recorded = line
    return write(
        code,
        more.pop("title"),
        "state.weakref",
        all_of(USED, is_set(get("ds")), when),
        path,
        value,
        "The copy is for from_pretrained under ZeRO-3, where zero.Init parses it before any loader is known.",
        ev(PLUGIN, lines, quote, recorded),
        {**_U, "ds": {_STEPS: "auto", _MICRO: "auto", "train_batch_size": "auto"}},
        {"deepspeed.used": False},
    )


_ALONE = all_of(USED, truthy(get("plugin.built")), no(eq(get("env.ACCELERATE_USE_DEEPSPEED"), "true")))
ALONE = tuple(
    write(
        code,
        "zero.Init counts one rank",
        "state.weakref",
        _ALONE,
        path,
        value,
        "With a DeepSpeedPlugin in the script and no ACCELERATE_USE_DEEPSPEED, torch's communication is "
        "started "
        "and DeepSpeed's is not, so zero.Init checks the batch for a single rank.",
        ev(ACCELERATOR, "331", "PartialState().distributed_type == DistributedType.DEEPSPEED",
           "model/3-batch", "1.6.0"),
        {**_U, "plugin.built": True},
        {**_U, "plugin.built": True, "env.ACCELERATE_USE_DEEPSPEED": "true"},
        versions=until(COMM_SINCE),
    )
    for code, path, value in (("ACC208", "init.world_size", 1), ("ACC209", "init.alone", True))
)  # fmt: skip
WEAKREF = (
    _copy("ACC197", "hf", get("ds"), is_set(get("ds")),
          ("1462", "ds_config = copy.deepcopy(self.deepspeed_config)", "model/3-batch"),
          title="transformers is shown a copy of the config"),
    _copy("ACC198", f"hf.{_STEPS}", 1, _unfilled(_STEPS),
          ("1470", 'ds_config["gradient_accumulation_steps"] = 1', "model/3-total"),
          title="the copy accumulates once"),
    _copy("ACC199", f"hf.{_MICRO}", 1, _unfilled(_MICRO),
          ("1472", 'ds_config["train_micro_batch_size_per_gpu"] = 1', "model/3-total"),
          title="the copy has a micro batch of one"),
    _copy("ACC200", "hf.train_batch_size", UNSET, is_auto(get("ds.train_batch_size")),
          ("1474", 'del ds_config["train_batch_size"]', "yaml/stage-3"),
          title="the copy has no global batch where it is auto"),
)  # fmt: skip

_ENV_STEPS = get(f"env.ACCELERATE_{_STEPS.upper()}")
_OWN_STEPS = first_set(get(f"accelerator.{_STEPS}"), 1)
_HAS_PLUGIN = truthy(get("accelerator.accumulation_plugin"))
_SETTLED = first_set(_ENV_STEPS, to_text(_OWN_STEPS))


def _asked_off(code: str, name: str, when: Expr, recorded: str) -> OverrideRule:
    path = f"ds.{name}"
    return refusal(
        code,
        f"{name} is null",
        "state.accumulation",
        all_of(USED, when, is_set(get(path)), no(is_a(get(path), "dict"))),
        ("AttributeError", "'AcceleratorState' object has no attribute 'mixed_precision'", (path,)),
        "Accelerator asks the config which precision is on, and tells of its own property only.",
        ev(STATE, "1064-1070", 'if config.get("fp16", {}).get("enabled", False):', recorded),
        {**_U, path: None},
        {**_U, path: {"enabled": False}},
        hint='Write {"enabled": "auto"}, or take the block out.',
    )


_WISH = get("accelerator.asked_steps")
ACCUMULATION = (
    _asked_off("ACC201", "fp16", USED, "ds/no-fp16-null"),
    _asked_off("ACC202", "bf16", no(truthy(get("ds.fp16.enabled"))), "ds/bf16-null"),
    refusal(
        "ACC203",
        "gradient accumulation is said twice",
        "state.accumulation",
        all_of(_HAS_PLUGIN, differs(_OWN_STEPS, 1), same(get("accelerator.both"), True)),
        ("ValueError",
         "You can only pass one of `gradient_accumulation_steps` and `gradient_accumulation_plugin`. "
         "Please only "
         "pass in the created `GradientAccumulationPlugin` object.", (f"accelerator.{_STEPS}",)),
        "Accelerator takes the number or the plugin.",
        ev(ACCELERATOR, "541", "if gradient_accumulation_steps != 1:", "accelerator/steps-twice"),
        {"accelerator.accumulation_plugin": True, f"accelerator.{_STEPS}": 2, "accelerator.both": True},
        {"accelerator.accumulation_plugin": True, f"accelerator.{_STEPS}": 4},
        hint="Give GradientAccumulationPlugin(num_steps=...) alone.",
    ),
    refusal(
        "ACC204",
        "gradient accumulation is no integer",
        "state.accumulation",
        all_of(no(_HAS_PLUGIN), no(reads_as_int(_SETTLED))),
        ("ValueError", text("invalid literal for int() with base 10: {}", as_repr(_SETTLED)),
         (f"env.ACCELERATE_{_STEPS.upper()}", f"accelerator.{_STEPS}")),
        "Accelerator calls int() on ACCELERATE_GRADIENT_ACCUMULATION_STEPS; `auto` is not taken there.",
        ev(ACCELERATOR, "547",
           'parse_choice_from_env("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", gradient_accumulation_steps)',
           "yaml/steps-auto"),
        {f"env.ACCELERATE_{_STEPS.upper()}": "auto"},
        {f"env.ACCELERATE_{_STEPS.upper()}": "2"},
        hint="Write a number, or leave it out of the YAML.",
    ),
    write(
        "ACC264",
        "Accelerator's accumulation gives way to flag or YAML",
        "state.accumulation",
        all_of(no(_HAS_PLUGIN), is_set(_ENV_STEPS), is_set(_WISH), differs(to_text(_WISH), _ENV_STEPS)),
        f"ds.{_STEPS}",
        None,
        "What `accelerate config` writes, usually 1, beats the script's number without a word.",
        ev(ACCELERATOR, "547", 'parse_choice_from_env("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", '
           "gradient_accumulation_steps)", "accelerator/yaml-steps"),
        {"accelerator.asked_steps": 4, f"env.ACCELERATE_{_STEPS.upper()}": "1"},
        {"accelerator.asked_steps": 4, f"env.ACCELERATE_{_STEPS.upper()}": "4"},
        asked=_WISH,
        hint="Leave gradient_accumulation_steps out of the YAML, or write the script's number there.",
    ),
    write(
        "ACC205",
        "Accelerator's accumulation comes from the environment first",
        "state.accumulation",
        no(_HAS_PLUGIN),
        f"accelerator.{_STEPS}",
        to_int(_SETTLED),
        "The YAML's or flag's number beats Accelerator(gradient_accumulation_steps=...) silently.",
        ev(ACCELERATOR, "547",
           'parse_choice_from_env("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", gradient_accumulation_steps)',
           "accelerator/environ-steps"),
        {f"accelerator.{_STEPS}": 4},
        {"accelerator.accumulation_plugin": True},
    ),
)  # fmt: skip
RULES: tuple[OverrideRule, ...] = (*ALONE, *WEAKREF, *ACCUMULATION)
