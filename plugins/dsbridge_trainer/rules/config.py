"""trainer_config_process: the arguments against the DeepSpeed config."""

from __future__ import annotations

from typing import Any

from dsbridge.rulebook import (
    UNSET,
    Expr,
    OverrideRule,
    all_of,
    any_of,
    block,
    choose,
    differs,
    eq,
    fact,
    get,
    is_auto,
    is_set,
    listed,
    lower,
    mul,
    no,
    one_of,
    table,
    text,
    to_text,
    truthy,
)
from dsbridge_trainer.rules._make import CONFIG_FILE, FIVE, OLD, ev, refusal, until, write

NOW = truthy(get("process.now"))
GIVEN = truthy(get("args.deepspeed"))
_TRUE = ("y", "yes", "t", "true", "on", "1")
_ENV = get("env.ACCELERATE_USE_DEEPSPEED")
_LAUNCHED = all_of(is_set(_ENV), one_of(lower(to_text(_ENV)), _TRUE))

_MICRO, _STEPS = get("args.per_device_train_batch_size"), get("args.gradient_accumulation_steps")
_LR = get("args.learning_rate")
_TOTAL = mul(fact("world_size"), _MICRO, _STEPS)
_BETAS = listed(get("args.adam_beta1"), get("args.adam_beta2"))


def _either(name: str) -> Expr:
    """`args.fp16 or args.fp16_full_eval`."""
    return choose(truthy(get(f"args.{name}")), get(f"args.{name}"), get(f"args.{name}_full_eval"))


_NO_APEX = eq(get("args.fp16_backend"), "apex")
# Key, the Trainer's value, what the message calls it; in the order of the code.
COMPARED: tuple[tuple[str, Expr, str], ...] = (
    ("train_micro_batch_size_per_gpu", _MICRO, "per_device_train_batch_size"),
    ("gradient_accumulation_steps", _STEPS, "gradient_accumulation_steps"),
    ("train_batch_size", _TOTAL, "train_batch_size (calculated)"),
    ("gradient_clipping", get("args.max_grad_norm"), "max_grad_norm"),
    ("optimizer.params.lr", _LR, "learning_rate"),
    ("optimizer.params.betas", _BETAS, "adam_beta1+adam_beta2"),
    ("optimizer.params.eps", get("args.adam_epsilon"), "adam_epsilon"),
    ("optimizer.params.weight_decay", get("args.weight_decay"), "weight_decay"),
    ("scheduler.params.warmup_max_lr", _LR, "learning_rate"),
    ("fp16.enabled", _either("fp16"), "fp16|fp16_full_eval"),
    ("amp.enabled", _NO_APEX, "fp16+fp16_backend(apex)"),
    ("amp.opt_level", get("args.fp16_opt_level"), "fp16_opt_level"),
    ("bf16.enabled", _either("bf16"), "bf16|bf16_full_eval"),
)
_BATCH = ("train_micro_batch_size_per_gpu", "train_batch_size")  # not compared while a batch size is sought
STEPPED = (
    ("scheduler.params.total_num_steps", get("run.steps"), "num_training_steps (calculated)"),
    ("scheduler.params.warmup_num_steps", get("run.warmup"), "warmup_steps"),
)


def line(key: str, value: Expr, label: str) -> Expr:
    """One line of the message, or nothing."""
    have = get(f"ds.{key}")
    conditions = [is_set(have), differs(have, None), no(is_auto(have))]
    if key in _BATCH:
        conditions.append(no(truthy(get("process.find"))))
    shown: Any = label
    if key.startswith("amp."):
        conditions.append(no(table("trainer.new")))
    if key == "fp16.enabled":
        shown = table("trainer.fp16_label")
    return choose(
        all_of(*conditions, differs(have, value)),
        text("- ds {} vs hf {}", text(f"{key}={{}}", have), text("{}={}", shown, value)),
        UNSET,
    )


_EXAMPLE = {"process.now": True, "fact.world_size": 2}


def _fill(
    code: str, key: str, value: Any, case: str, line: tuple[str, str], title: str, args: dict[str, Any],
    why: str, versions: tuple[Any, ...] = (), version: str = "5.23.0",
) -> OverrideRule:  # fmt: skip
    """`fill_match` of an "auto"."""
    fires = {**_EXAMPLE, f"ds.{key}": "auto", **args}
    return write(
        code, title, "config.process",
        all_of(NOW, is_auto(get(f"ds.{key}"))), f"ds.{key}", value, why,
        ev(CONFIG_FILE, line[0], line[1], case, version),
        fires, {**fires, f"ds.{key}": 1}, versions=versions,
    )  # fmt: skip


PROCESS: tuple[OverrideRule, ...] = (
    write(
        "TR130", "TrainingArguments' own config is processed", "config.now",
        GIVEN, "process.now", True,
        "A config in TrainingArguments meets the arguments as soon as they are checked.",
        ev("training_args.py", "1711", "self.hf_deepspeed_config.trainer_config_process(self)", "batch/auto"),
        {"args.deepspeed": "ds.json"}, {"args.deepspeed": None},
    ),
    write(
        "TR131", "DeepSpeed is used", "config.now",
        any_of(GIVEN, _LAUNCHED), "deepspeed.used", True,
        "By TrainingArguments(deepspeed=...), or by `accelerate launch`, whose environment says so.",
        ev("training_args.py", "1716",
            'elif strtobool(os.environ.get("ACCELERATE_USE_DEEPSPEED", "false")):', "launch/equal"),
        {"args.deepspeed": "ds.json"}, {"args.deepspeed": None},
    ),
    refusal(
        "TR133", "`checkpoint` is null", "config.process",
        all_of(NOW, truthy(get("args.save_on_each_node")), eq(get("ds.checkpoint"), None)),
        ("TypeError", "'NoneType' object does not support item assignment", ("ds.checkpoint",)),
        "The Trainer writes a key into the block.",
        ev(CONFIG_FILE, "179",
            'self.config["checkpoint"]["use_node_local_storage"] = '
            'args.save_on_each_node', "other/checkpoint-null"),
        {"process.now": True, "args.save_on_each_node": True, "ds.checkpoint": None},
        {"process.now": True, "args.save_on_each_node": True, "ds.checkpoint": {}},
        hint="Remove `checkpoint: null`.",
    ),
    write(
        "TR134", "node-local checkpoints", "config.process",
        all_of(NOW, truthy(get("args.save_on_each_node"))),
        "ds.checkpoint.use_node_local_storage", get("args.save_on_each_node"),
        "save_on_each_node=True overrides the config, whatever it says; False touches nothing.",
        ev(CONFIG_FILE, "179",
            'self.config["checkpoint"]["use_node_local_storage"] = '
            'args.save_on_each_node', "other/node-storage"),
        {"process.now": True, "args.save_on_each_node": True},
        {"process.now": True, "args.save_on_each_node": False},
    ),
    _fill("TR135", "train_micro_batch_size_per_gpu", _MICRO, "batch/auto",
          ("145", '"train_micro_batch_size_per_gpu",'), "the micro batch of the arguments",
          {"args.per_device_train_batch_size": 2}, "\"auto\" is per_device_train_batch_size."),
    _fill("TR136", "gradient_accumulation_steps", _STEPS, "batch/auto",
          ("151", '"gradient_accumulation_steps",'), "the accumulation of the arguments",
          {"args.gradient_accumulation_steps": 2}, "\"auto\" is gradient_accumulation_steps."),
    _fill("TR137", "train_batch_size", _TOTAL, "batch/auto",
          ("143",
              "train_batch_size = args.world_size * args.per_device_train_batch_size * "
              "args.gradient_accumulation_steps"),
          "the total batch of the arguments",
          {"args.per_device_train_batch_size": 2, "args.gradient_accumulation_steps": 2},
          "\"auto\" is ranks times micro batch times accumulation; tensor-parallel ranks are counted too."),
    _fill("TR138", "gradient_clipping", get("args.max_grad_norm"), "clip/argument",
          ("161", 'self.fill_match("gradient_clipping", args.max_grad_norm, "max_grad_norm")'),
          "clipping at max_grad_norm", {"args.max_grad_norm": 0.3},
              "\"auto\" is max_grad_norm, by default 1.0."),
    _fill("TR139", "optimizer.params.lr", _LR, "optim/block",
          ("163", 'self.fill_match("optimizer.params.lr", args.learning_rate, "learning_rate")'),
          "the learning rate of the arguments", {"args.learning_rate": 1e-4}, "\"auto\" is learning_rate."),
    _fill("TR140", "optimizer.params.betas", _BETAS, "optim/block",
          ("165", '"optimizer.params.betas",'), "Adam's betas of the arguments",
          {"args.adam_beta1": 0.9, "args.adam_beta2": 0.95}, "\"auto\" is [adam_beta1, adam_beta2]."),
    _fill("TR141", "optimizer.params.eps", get("args.adam_epsilon"), "optim/block",
          ("169", 'self.fill_match("optimizer.params.eps", args.adam_epsilon, "adam_epsilon")'),
          "Adam's epsilon of the arguments", {"args.adam_epsilon": 1e-8}, "\"auto\" is adam_epsilon."),
    _fill("TR142", "optimizer.params.weight_decay", get("args.weight_decay"), "optim/block",
          ("170", 'self.fill_match("optimizer.params.weight_decay", args.weight_decay, "weight_decay")'),
          "the weight decay of the arguments", {"args.weight_decay": 0.1}, "\"auto\" is weight_decay."),
    _fill("TR143", "scheduler.params.warmup_min_lr", 0, "schedule/both",
          ("172", 'self.fill_only("scheduler.params.warmup_min_lr", 0)  # not a trainer arg'),
          "warm-up begins at 0", {}, "\"auto\" is 0; the Trainer has no argument for it."),
    _fill("TR144", "scheduler.params.warmup_max_lr", _LR, "schedule/both",
          ("173", 'self.fill_match("scheduler.params.warmup_max_lr", args.learning_rate, "learning_rate")'),
          "warm-up ends at the learning rate", {"args.learning_rate": 1e-4}, "\"auto\" is learning_rate."),
    _fill("TR145", "fp16.enabled", choose(truthy(_either("fp16")), True, False), "precision/fp16",
          ("183",
              'self.fill_match("fp16.enabled", (args.fp16 or args.fp16_full_eval), "fp16|fp16_full_eval")'),
          "fp16 of the arguments", {"args.fp16": True}, "\"auto\" is fp16, or fp16_full_eval."),
    _fill("TR146", "bf16.enabled", choose(truthy(_either("bf16")), True, False), "batch/auto",
          ("184",
              'self.fill_match("bf16.enabled", (args.bf16 or args.bf16_full_eval), "bf16|bf16_full_eval")'),
          "bf16 of the arguments", {"args.bf16": True}, "\"auto\" is bf16, or bf16_full_eval."),
    _fill("TR147", "amp.enabled", False, "precision/amp-auto",
          ("194", 'self.fill_match("amp.enabled", fp16_backend == "apex", "fp16+fp16_backend(apex)")'),
          "no Apex (transformers 4)", {}, "\"auto\" asks for fp16_backend=\"apex\".", until(FIVE), OLD),
    _fill("TR148", "amp.opt_level", get("args.fp16_opt_level"), "precision/amp-auto",
          ("195", 'self.fill_match("amp.opt_level", args.fp16_opt_level, "fp16_opt_level")'),
          "Apex's level (transformers 4)", {"args.fp16_opt_level": "O1"}, "\"auto\" is fp16_opt_level.",
          until(FIVE), OLD),
    write(
        "TR149", "what does not match is noted", "config.process",
        NOW, "mismatch", block({f"ds.{key}": line(key, value, label) for key, value, label in COMPARED}),
        "A value that is not \"auto\" must be the arguments' own, by Python's `!=`; training stops at any "
        "that "
        "is not.",
        ev(CONFIG_FILE, "132",
            'self.mismatches.append(f"- ds {ds_key_long}={ds_val} vs hf {hf_key}={hf_val}")', "clip/other"),
        _EXAMPLE, {"process.now": False},
    ),
)  # fmt: skip

AGAIN: tuple[OverrideRule, ...] = (
    write(
        "TR150", "a config of the launcher is processed", "config.launched",
        no(GIVEN), "process.now", truthy(get("deepspeed.used")),
        "A config that `accelerate launch` brings meets the arguments when the Trainer is made.",
        ev("trainer.py", "886",
            'if self.is_deepspeed_enabled and getattr(self.args, '
            '"hf_deepspeed_config", None) is None:', "launch/steps-other"),
        {"args.deepspeed": None}, {"args.deepspeed": "ds.json"},
    ),
    write(
        "TR151", "a processed config is not processed again", "config.launched",
        GIVEN, "process.now", False,
        "The config has met the arguments already.",
        ev("trainer.py", "886",
            'if self.is_deepspeed_enabled and getattr(self.args, '
            '"hf_deepspeed_config", None) is None:', "batch/steps-missing"),
        {"args.deepspeed": "ds.json"}, {"args.deepspeed": None},
    ),
    write(
        "TR152", "auto_find_batch_size processes again", "config.find",
        truthy(get("args.auto_find_batch_size")), "process",
        block({"now": truthy(get("deepspeed.used")), "find": True}),
        "Each batch size that is tried is sent to the config; batch sizes are not compared then.",
        ev("trainer.py", "2706",
            "propagate_args_to_deepspeed(self.accelerator, self.args, "
            "auto_find_batch_size=True)", "argument/find-batch-explicit"),
        {"args.auto_find_batch_size": True, "deepspeed.used": True}, {"args.auto_find_batch_size": False},
    ),
)  # fmt: skip
