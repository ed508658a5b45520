"""trainer_config_finalize: buckets, steps, and what does not match."""

from __future__ import annotations

from dsbridge.rulebook import (
    Expr,
    OverrideRule,
    add,
    all_of,
    always,
    any_of,
    at_most,
    block,
    ceil,
    choose,
    eq,
    get,
    greatest,
    is_auto,
    is_set,
    joined,
    keys,
    less,
    lines,
    missing,
    mul,
    no,
    same,
    table,
    text,
    to_int,
    truthy,
    values,
)
from dsbridge_trainer.rules._make import CONFIG_FILE, FIVE, OLD, ev, refusal, since, until, write
from dsbridge_trainer.rules.config import STEPPED, line

_BUCKETS = tuple(
    f"zero_optimization.{name}"
    for name in ("reduce_bucket_size", "stage3_prefetch_bucket_size", "stage3_param_persistence_threshold")
)
_AUTO = any_of(*(is_auto(get(f"ds.{key}")) for key in _BUCKETS))
_BUCKETS_FIELDS = tuple(f"ds.{key}" for key in _BUCKETS)
_SIZES = ("hidden_size", "hidden_sizes", "text_config.hidden_size", "text_config.hidden_sizes")
_NO_SIZE = all_of(*(missing(get(f"model.{name}")) for name in _SIZES))
_USED = truthy(get("deepspeed.used"))
_W = get("args.warmup_steps")
_SHARE = choose(at_most(1, _W), to_int(_W), ceil(mul(get("run.steps"), _W)))
_FOUR = choose(less(0, _W), _W, ceil(mul(get("run.steps"), get("args.warmup_ratio"))))
_TEXT = get("model.text_config.hidden_size")
_THREE = all_of(eq(get("ds.zero_optimization.stage"), 3), no(same(get("ds.zero_optimization.stage"), True)))


def _bucket(code: str, name: str, stage: Expr, value: Expr, line: str, quote: str) -> OverrideRule:
    """A bucket of a model that tells its hidden size in `text_config`."""
    fires = {
        "deepspeed.used": True, "model.text_config.hidden_size": 64, "ds.zero_optimization.stage": 3,
        f"ds.zero_optimization.{name}": "auto",
    }  # fmt: skip
    return write(
        code, f"`{name}` from the hidden size of text_config", "finalize.model",
        all_of(_USED, stage, is_auto(get(f"ds.zero_optimization.{name}")), is_set(_TEXT),
               missing(get("model.hidden_size")), missing(get("model.hidden_sizes"))),
        f"ds.zero_optimization.{name}", value,
        "The Trainer looks into text_config, Accelerate does not; of the three buckets the Trainer fills two "
        "under ZeRO-3 only.",
        ev(CONFIG_FILE, line, quote, "model/text-config-three"),
        fires, {**fires, "model.hidden_size": 64},
    )  # fmt: skip


FINALIZE: tuple[OverrideRule, ...] = (
    refusal(
        "TR154", "buckets \"auto\" and a model without hidden_size", "finalize.model",
        all_of(_USED, _AUTO, _NO_SIZE),
        ("ValueError",
         text(
             "The model's config file has neither `hidden_size` nor `hidden_sizes` entry, therefore it's not "
              "possible to automatically fill out the following `auto` entries in the DeepSpeed config file: "
              "…. "
              "You can fix that by replacing `auto` values for these keys with an integer value of your "
              "choice."),
         _BUCKETS_FIELDS),
        "The buckets are computed from the hidden size.",
        ev(CONFIG_FILE, "226",
            '"The model\'s config file has neither `hidden_size` nor `hidden_sizes` '
            'entry, "', "model/plain-buckets"),
        {"deepspeed.used": True, "ds.zero_optimization.reduce_bucket_size": "auto", "model": {}},
        {"deepspeed.used": True, "ds.zero_optimization.reduce_bucket_size": "auto", "model.hidden_size": 64},
        hint="Write numbers for the three keys.",
        versions=since(FIVE),
    ),
    refusal(
        "TR155", "buckets \"auto\" and a model without a config (transformers 4)", "finalize.model",
        all_of(_USED, _AUTO, no(truthy(get("prepared.model.config")))),
        ("AttributeError", "'…' object has no attribute 'config'", _BUCKETS_FIELDS),
        "The buckets are computed from the hidden size.",
        ev(CONFIG_FILE, "224", 'if hasattr(model.config, "hidden_size"):', "model/plain-buckets", OLD),
        {"deepspeed.used": True,
            "ds.zero_optimization.reduce_bucket_size": "auto", "prepared.model": {"config": False}},
        {"deepspeed.used": True,
            "ds.zero_optimization.reduce_bucket_size": "auto", "prepared.model": {"config": True}},
        hint="Write numbers for the three keys.",
        versions=until(FIVE),
    ),
    _bucket("TR203", "reduce_bucket_size", always(), mul(_TEXT, _TEXT), "232",
            'self.fill_only("zero_optimization.reduce_bucket_size", hidden_size * hidden_size)'),
    _bucket("TR204", "stage3_prefetch_bucket_size", _THREE, to_int(mul(0.9, _TEXT, _TEXT)), "236",
            '"zero_optimization.stage3_prefetch_bucket_size",'),
    _bucket("TR205", "stage3_param_persistence_threshold", _THREE, mul(10, _TEXT), "240",
            '"zero_optimization.stage3_param_persistence_threshold",'),
    write(
        "TR156", "warm-up steps (transformers 4)", "train.warmup",
        _USED, "run.warmup", _FOUR,
        "warmup_steps if it is positive, else warmup_ratio of all steps.",
        ev("training_args.py", "2498",
            "self.warmup_steps if self.warmup_steps > 0 else "
            "math.ceil(num_training_steps * self.warmup_ratio)", "schedule/warmup-ratio", OLD),
        {"deepspeed.used": True}, {"deepspeed.used": False},
        versions=until(FIVE),
    ),
    write(
        "TR157", "warm-up steps, or a share", "train.warmup",
        _USED, "run.warmup", greatest(table("trainer.least_warmup"), _SHARE),
        "Below 1, warmup_steps is a share of all steps; DeepSpeed 0.19.6 refuses 0, so the Trainer fills 1.",
        ev(CONFIG_FILE, "254", "max(1, args.get_warmup_steps(num_training_steps)),", "schedule/both"),
        {"deepspeed.used": True}, {"deepspeed.used": False},
        versions=since(FIVE),
    ),
    write(
        "TR158", "the scheduler's total steps", "finalize.scheduler",
        all_of(_USED, is_auto(get("ds.scheduler.params.total_num_steps"))),
        "ds.scheduler.params.total_num_steps", get("run.steps"),
        "\"auto\" is the number of optimizer steps: max_steps, or epochs times steps an epoch.",
        ev(CONFIG_FILE, "246", '"scheduler.params.total_num_steps",', "schedule/both"),
        {"deepspeed.used": True, "ds.scheduler.params.total_num_steps": "auto"},
        {"deepspeed.used": True, "ds.scheduler.params.total_num_steps": 100},
    ),
    write(
        "TR159", "the scheduler's warm-up", "finalize.scheduler",
        all_of(_USED, is_auto(get("ds.scheduler.params.warmup_num_steps"))),
        "ds.scheduler.params.warmup_num_steps", get("run.warmup"),
        "\"auto\" is the arguments' warm-up.",
        ev(CONFIG_FILE, "253", '"scheduler.params.warmup_num_steps",', "schedule/both"),
        {"deepspeed.used": True, "ds.scheduler.params.warmup_num_steps": "auto"},
        {"deepspeed.used": True, "ds.scheduler.params.warmup_num_steps": 10},
    ),
    write(
        "TR160", "steps that do not match are noted", "finalize.scheduler",
        _USED, "mismatch_steps", block({f"ds.{k}": line(k, v, label) for k, v, label in STEPPED}),
        "Explicit steps must be the Trainer's own.",
        ev(CONFIG_FILE, "132",
            'self.mismatches.append(f"- ds {ds_key_long}={ds_val} vs hf '
            '{hf_key}={hf_val}")', "schedule/total-other"),
        {"deepspeed.used": True}, {"deepspeed.used": False},
    ),
)  # fmt: skip

_ALL = lines(joined(values(get("mismatch")), "\n"), joined(values(get("mismatch_steps")), "\n"))
MISMATCH: tuple[OverrideRule, ...] = (
    refusal(
        "TR161", "the config and the arguments do not match", "finalize.mismatch",
        all_of(_USED, truthy(_ALL)),
        ("ValueError",
         text(
             "Please correct the following DeepSpeed config values that mismatch TrainingArguments "
             "values:\n{}\n"
              "The easiest method is to set these DeepSpeed config values to 'auto'.", _ALL),
         add(keys(get("mismatch")), keys(get("mismatch_steps")))),
        "The Trainer trains with its own arguments, so a config that says otherwise would not be true.",
        ev(CONFIG_FILE, "261",
            '"Please correct the following DeepSpeed config values that mismatch '
            'TrainingArguments"', "clip/other"),
        {"deepspeed.used": True, "mismatch": {"ds.gradient_clipping": "- ds …"}, "mismatch_steps": {}},
        {"deepspeed.used": True, "mismatch": {}, "mismatch_steps": {}},
        hint='Write "auto" in the config, or the same value in both places.',
    ),
)  # fmt: skip
