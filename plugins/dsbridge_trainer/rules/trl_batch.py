"""GRPOConfig and RLOOConfig: a batch of generation holds whole groups of completions."""

from __future__ import annotations

from typing import Any

from dsbridge.rulebook import (
    Expr,
    OverrideRule,
    Range,
    all_of,
    any_of,
    choose,
    differs,
    fact,
    floor_div,
    get,
    is_set,
    less,
    mod,
    mul,
    no,
    one_of,
    text,
    truthy,
)
from dsbridge_trainer.rules._trl import OLD, ev, refusal, since

_FILE = "trainer/grpo_config.py"
_AT = "arguments.check"
_GROUP, _BATCH, _STEPS = (
    get(f"args.{name}") for name in ("num_generations", "generation_batch_size", "steps_per_generation")
)
_MICRO, _TURNS = get("args.per_device_train_batch_size"), get("args.gradient_accumulation_steps")
_ONCE = mul(_MICRO, fact("world_size"))
_EVERY = choose(truthy(_STEPS), _STEPS, _TURNS)
_WHOLE = choose(truthy(_BATCH), _BATCH, mul(_ONCE, _EVERY))
_FIELDS = ("args.num_generations", "args.per_device_train_batch_size", "args.gradient_accumulation_steps")
_NAME = get("trl.class")
_GROUPED = all_of(one_of(_NAME, ("GRPOConfig", "RLOOConfig")), is_set(_GROUP))
_BASE: dict[str, Any] = {
    "trl.class": "GRPOConfig",
    "fact.world_size": 2,
    "args": {"num_generations": 8, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2},
}


def _with(**changes: Any) -> dict[str, Any]:
    return {**_BASE, "args": {**_BASE["args"], **changes}}


def _divides(whole: Expr) -> Expr:
    return no(truthy(mod(whole, _GROUP)))


BATCH: tuple[OverrideRule, ...] = (
    refusal(
        "TRL110", "two sizes of one batch of generation", _AT,
        all_of(_GROUPED, truthy(_BATCH), truthy(_STEPS)),
        ("ValueError",
         "'generation_batch_size' and 'steps_per_generation' can not be both configured at the same time",
         ("args.generation_batch_size", "args.steps_per_generation")),
        "Each follows from the other.",
        ev(_FILE, "1115",
           "'generation_batch_size' and 'steps_per_generation' can not be both configured at the same time",
           "grpo/generation-both"),
        _with(generation_batch_size=8, steps_per_generation=2), _with(generation_batch_size=8),
        hint="Keep one of them.",
        versions=since("0.18.0"),
    ),
    refusal(
        "TRL111", "a batch of generation that the ranks cannot share", _AT,
        all_of(_GROUPED, truthy(_BATCH), truthy(mod(_BATCH, _ONCE))),
        ("ValueError", text("generation_batch_size ({}) must be divisible by the global batch size ({}).",
                            _BATCH, _ONCE), ("args.generation_batch_size",)),
        "Every rank generates whole micro batches.",
        ev(_FILE, "1105",
           'f"generation_batch_size ({self.generation_batch_size}) must be divisible by the global',
           "grpo/generation-batch-bad"),
        _with(generation_batch_size=6), _with(generation_batch_size=8),
        hint="Make it a multiple of per_device_train_batch_size x ranks.",
        versions=since("0.20.0"),
    ),
    refusal(
        "TRL112", "a batch of generation that holds broken groups", _AT,
        all_of(_GROUPED, no(_divides(_WHOLE))),
        ("ValueError", text("generation_batch_size ({}) must be divisible by num_generations ({}).",
                            _WHOLE, _GROUP), _FIELDS),
        "The completions of one prompt are compared with each other, so a batch holds all of them.",
        ev(_FILE, "1133",
           'f"generation_batch_size ({self.generation_batch_size}) must be divisible by num_generations "',
           "grpo/one-step"),
        _with(gradient_accumulation_steps=1), _with(),
        hint="Make micro batch x ranks x accumulation a multiple of num_generations, or lower that.",
        versions=since("0.20.0"),
    ),
    refusal(
        "TRL113", "a batch of generation that holds broken groups (TRL 0.18 and 0.19)", _AT,
        all_of(_GROUPED, no(less(_GROUP, 2)), any_of(less(_WHOLE, _GROUP), no(_divides(_WHOLE)))),
        ("ValueError",
         text("The effective train batch size ({} x {} x {}) must be evenly divisible by the number of "
              "generations per prompt ({}). Given the current effective train batch size, the valid values "
              "for the number of generations are: …",
              fact("world_size"), _MICRO, floor_div(_WHOLE, _ONCE), _GROUP), _FIELDS),
        "The completions of one prompt are compared with each other, so a batch holds all of them.",
        ev(_FILE, "543",
           'f"The effective train batch size ({num_processes} x {self.per_device_train_batch_size} x "',
           "grpo/one-step", OLD),
        _with(gradient_accumulation_steps=1), _with(),
        hint="Make micro batch x ranks x accumulation a multiple of num_generations, or lower that.",
        versions=(Range("trl", "0.18.0", "0.20.0"),),
    ),
    refusal(
        "TRL114", "one completion a prompt", _AT,
        all_of(_GROUPED, less(_GROUP, 2)),
        ("ValueError",
         text("{} requires at least 2 generations per prompt to calculate the advantages. You provided {}, "
              "which is less than the minimum required.",
              choose(differs(_NAME, "RLOOConfig"), "GRPO", "RLOO"), _GROUP), ("args.num_generations",)),
        "An advantage is a difference to the others of the group.",
        ev(_FILE, "1139",
           '"GRPO requires at least 2 generations per prompt to calculate the advantages. You provided "',
           "grpo/one-generation"),
        _with(num_generations=1), _with(),
        hint="Write num_generations of 2 or more.",
    ),
)  # fmt: skip
