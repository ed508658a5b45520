"""The reference model of DPO and KTO: TRL gives it an engine of its own, before training starts.

It gets the config as the Trainer's arguments have left it, with the steps of a scheduler not yet filled, at
stage 0 unless the stage is 3. Its optimizer has nothing to train.
"""

from __future__ import annotations

from dsbridge.rulebook import (
    Evidence,
    OverrideRule,
    Range,
    all_of,
    any_of,
    choose,
    differs,
    eq,
    get,
    is_a,
    is_set,
    missing,
    no,
    one_of,
    text,
    truthy,
)
from dsbridge_llamafactory.rules._make import STAGE_3, arg, ev, is_, on, refusal, since

_PAIRS = all_of(is_("stage", "dpo"), no(one_of(arg("pref_loss"), ["orpo", "simpo"])))
_OTHER = differs(arg("ref_model"), None)
_QUANTIZED = differs(choose(_OTHER, arg("ref_model_quantization_bit"), arg("quantization_bit")), None)
# create_ref_model: LoRA switches its adapter off instead, except that an evaluation takes the model itself.
_NEEDED = any_of(
    all_of(
        any_of(_PAIRS, is_("stage", "kto")),
        any_of(_OTHER, no(on("do_train")), no(is_("finetuning_type", "lora"))),
    ),
    all_of(is_("stage", "sft"), on("use_asft_loss"), any_of(_OTHER, no(is_("finetuning_type", "lora")))),
)
_REFERENCE = all_of(is_set(get("ds")), _NEEDED, no(_QUANTIZED))
_DPO = {"lf.stage": "dpo", "lf.finetuning_type": "full", "lf.do_train": True}
_WHOLE = {"engine.zero_optimization.stage": 0, "engine.optimizer.type": "AdamW"}
_SHARDED = {"engine.zero_optimization.stage": 3, "engine.optimizer.type": "AdamW"}


def _trl(quote: str, recorded: str) -> tuple[Evidence, ...]:
    return (Evidence("trl", "0.24.0", "trl/models/utils.py", "", quote, f"llamafactory/{recorded}"),)


REFERENCE = (
    refusal(
        "LF242",
        "a reference model, and no stage",
        "lf.reference",
        (_REFERENCE, is_a(get("ds.zero_optimization"), "dict"), missing(get("ds.zero_optimization.stage"))),
        "'stage'",
        ("ds.zero_optimization.stage",),
        "TRL asks for the stage, to turn it off for the reference model.",
        "Write zero_optimization.stage.",
        _trl('stage = config_kwargs["zero_optimization"]["stage"]', "reference/z2-no-stage"),
        {**_DPO, "ds.zero_optimization": {}},
        {**_DPO, "ds.zero_optimization.stage": 2},
        kind="KeyError",
    ),
    OverrideRule(
        code="LF243",
        title="the reference model has an engine of its own",
        layer="llamafactory",
        moment="lf.reference",
        when=_REFERENCE,
        writes="ref",
        value=get("ds"),
        why="prepare_deepspeed hands the same config to deepspeed.initialize before training starts.",
        hint="Leave optimizer and scheduler to the arguments: the reference model gets their blocks too.",
        evidence=ev(
            "train/dpo/trainer.py",
            "self.ref_model = prepare_deepspeed(self.ref_model, self.accelerator)",
            "reference/z2-both",
        ),
        fires={**_DPO, "ds.bf16": {}},
        holds={**_DPO, "lf.finetuning_type": "lora", "ds.bf16": {}},
    ),
    OverrideRule(
        code="LF244",
        title="below stage 3 the reference model is not divided",
        layer="llamafactory",
        moment="lf.reference.stage",
        when=all_of(is_set(get("ref")), no(STAGE_3)),
        writes="ref.zero_optimization.stage",
        value=0,
        why="Stages 1 and 2 divide what a model without training does not have.",
        evidence=_trl('config_kwargs["zero_optimization"]["stage"] = 0', "reference/z2-sgd"),
        fires={"ref": {}, "ds.zero_optimization.stage": 2},
        holds={"ref": {}, "ds.zero_optimization.stage": 3},
    ),
)
# PPO loads its reward model after the policy, and then makes a trainer of TRL's old kind.
PPO = (
    refusal(
        "LF248",
        "a reward adapter that is none",
        "lf.optimizer",
        (is_("stage", "ppo"), is_("reward_model_type", "lora"), is_set(get("reward.absent"))),
        text("Can't find 'adapter_config.json' at '{}'", arg("reward_model")),
        ("lf.reward_model", "lf.reward_model_type"),
        "reward_model_type is lora unless told otherwise, so reward_model names an adapter.",
        "Write reward_model_type: full for a whole model.",
        ev(
            "train/trainer_utils.py",
            'model.pretrained_model.load_adapter(finetuning_args.reward_model, "reward")',
            "stage/ppo-z2-lora-lora",
        ),
        {"lf.stage": "ppo", "reward.absent": True},
        {"lf.stage": "ppo", "lf.reward_model_type": "full", "reward.absent": True},
    ),
    refusal(
        "LF249",
        "PPO wants a TRL that LLaMA-Factory itself refuses",
        "lf.optimizer",
        (is_("stage", "ppo"),),
        "trl>=0.8.6,<=0.9.6 is required for a normal functioning of this module, but found trl==…",
        ("lf.stage",),
        "From 0.9.4 on PPO asks for TRL 0.9.6, and LLaMA-Factory as a whole for a newer one.",
        "Use LLaMA-Factory 0.9.3 with TRL 0.9.6 for PPO, or another stage.",
        ev("train/ppo/trainer.py", '"trl>=0.8.6,<=0.9.6",', "stage/ppo-z2-api-lora"),
        {"lf.stage": "ppo"},
        {"lf.stage": "sft"},
        kind="ImportError",
        versions=since("0.9.4"),
    ),
)
SHARDED = (
    refusal(
        "LF247",
        "an optimizer block and a reference model in bf16 (DeepSpeed before 0.17.6)",
        "lf.reference.sharded",
        (
            eq(get("engine.zero_optimization.stage"), 0),
            truthy(get("engine.bf16.enabled")),
            is_set(get("engine.optimizer.type")),
        ),
        "torch.cat(): expected a non-empty list of Tensors",
        ("ds.optimizer", "ds.bf16.enabled"),
        "The reference model gets the optimizer too, and has no parameter that trains.",
        "Remove the optimizer block: the Trainer makes the optimizer of the arguments.",
        (
            Evidence(
                "deepspeed",
                "0.16.9",
                "deepspeed/runtime/bf16_optimizer.py",
                "",
                "return self.flatten(align_dense_tensors(tensor_list, alignment))",
                "llamafactory/reference/z2-optimizer",
            ),
        ),
        {**_WHOLE, "engine.bf16.enabled": True},
        _WHOLE,
        versions=(Range("deepspeed", until="0.17.6"),),
    ),
    refusal(
        "LF245",
        "an optimizer block and a reference model at stage 3",
        "lf.reference.sharded",
        (eq(get("engine.zero_optimization.stage"), 3), is_set(get("engine.optimizer.type"))),
        "",
        ("ds.optimizer", "ds.zero_optimization.stage"),
        "The reference model gets the optimizer too, and has no parameter that trains.",
        "Remove the optimizer block: the Trainer makes the optimizer of the arguments.",
        (
            Evidence(
                "deepspeed",
                "0.18.4",
                "deepspeed/runtime/zero/stage3.py",
                "",
                "assert len(set(t.dtype for t in tensors)) == 1",
                "llamafactory/reference/z3-optimizer",
            ),
        ),
        _SHARDED,
        {"engine.zero_optimization.stage": 3},
        kind="AssertionError",
    ),
)
