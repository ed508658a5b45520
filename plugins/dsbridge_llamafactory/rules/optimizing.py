"""LLaMA-Factory's own optimizers, and what becomes of them under DeepSpeed."""

from __future__ import annotations

from dsbridge.rulebook import (
    UNSET,
    Evidence,
    Loudness,
    OverrideRule,
    Range,
    all_of,
    any_of,
    block,
    differs,
    eq,
    first_set,
    get,
    is_set,
    listed,
    missing,
    no,
    truthy,
)
from dsbridge_llamafactory.rules._make import STAGE_3, arg, ev, on, refusal
from dsbridge_llamafactory.rules.checks import EVALUATES

OPTIMIZER = (
    OverrideRule(
        code="LF230",
        title="Muon in place of the Trainer's optimizer",
        layer="llamafactory",
        moment="lf.optimizer",
        when=all_of(on("use_muon"), missing(get("ds.optimizer"))),
        writes="own.optimizer",
        value=block({"class": "llamafactory.Muon"}),
        why="create_optimizer makes LLaMA-Factory's optimizer first, and the Trainer then keeps it.",
        hint="An optimizer block in the ds_config would take its place.",
        evidence=ev(
            "train/trainer_utils.py",
            "return _create_muon_optimizer(model, training_args)",
            "method/muon",
        ),
        fires={"lf.use_muon": True},
        holds={"lf.use_muon": True, "ds.optimizer": {"type": "AdamW"}},
    ),
    OverrideRule(
        code="LF231",
        title="LoRA+ is lost to the optimizer block",
        layer="llamafactory",
        moment="lf.optimizer",
        when=all_of(differs(arg("loraplus_lr_ratio"), None), is_set(get("ds.optimizer"))),
        writes="ds.optimizer.loraplus_lr_ratio",
        asked=get("lf.loraplus_lr_ratio"),
        why="DeepSpeed makes the block's optimizer over one group of parameters, so all have one rate.",
        hint="Remove the optimizer block from the ds_config.",
        evidence=ev(
            "train/trainer_utils.py",
            "return _create_loraplus_optimizer(model, training_args, finetuning_args)",
            "method/lora-plus-optimizer",
        ),
        fires={"lf.loraplus_lr_ratio": 16.0, "ds.optimizer": {"type": "AdamW"}},
        holds={"lf.loraplus_lr_ratio": 16.0},
    ),
    OverrideRule(
        code="LF232",
        title="pure_bf16 leaves DeepSpeed's bf16 off",
        layer="llamafactory",
        moment="lf.optimizer",
        when=all_of(
            on("pure_bf16"), is_set(get("ds")), any_of(missing(get("lf.bf16")), eq(get("lf.bf16"), False))
        ),
        writes="ds.bf16.enabled",
        asked=get("lf.pure_bf16"),
        why="pure_bf16 changes the type of the weights alone; `auto` in the ds_config follows bf16.",
        hint="Write bf16: true as well.",
        evidence=ev(
            "hparams/parser.py",
            "if training_args.bf16 or finetuning_args.pure_bf16:",
            "precision/pure-bf16",
        ),
        fires={"lf.pure_bf16": True, "ds.bf16.enabled": "auto"},
        holds={"lf.pure_bf16": True, "lf.bf16": True, "ds.bf16.enabled": "auto"},
        loudness=Loudness.SILENT,
    ),
)

EVALUATE = (
    OverrideRule(
        code="LF233",
        title="nothing is trained",
        layer="llamafactory",
        moment="lf.optimizer",
        when=all_of(no(on("do_train")), no(EVALUATES), is_set(get("ds"))),
        writes=listed("ds", "deepspeed"),
        value=UNSET,
        why="Without do_train, trainer.train is never called, and DeepSpeed with it.",
        hint="Write do_train: true.",
        evidence=ev("train/sft/workflow.py", "if training_args.do_train:", "data/nothing-to-do"),
        fires={"lf.do_train": False, "ds.bf16": {}},
        holds={"lf.do_train": True, "ds.bf16": {}},
    ),
    OverrideRule(
        code="LF237",
        title="evaluation without training",
        layer="llamafactory",
        moment="lf.optimizer",
        when=all_of(no(on("do_train")), EVALUATES, is_set(get("ds"))),
        writes="run.evaluates",
        value=True,
        why="trainer.evaluate makes an engine of its own: no optimizer, no scheduler, no steps.",
        hint="Write do_train: true to train.",
        evidence=ev("train/sft/workflow.py", "if training_args.do_eval:", "data/evaluate-stage-3"),
        fires={"lf.do_eval": True, "ds.bf16": {}},
        holds={"lf.do_train": True, "lf.do_eval": True, "ds.bf16": {}},
    ),
    OverrideRule(
        code="LF238",
        title="evaluation leaves the optimizer block out",
        layer="llamafactory",
        moment="lf.evaluate",
        when=all_of(truthy(get("run.evaluates")), is_set(get("ds.optimizer"))),
        writes="ds.optimizer",
        value=UNSET,
        why="deepspeed_init(inference=True) takes the block out; the scheduler block stays.",
        evidence=(
            Evidence(
                "transformers",
                "5.6.0",
                "transformers/integrations/deepspeed.py",
                "",
                'hf_deepspeed_config.del_config_sub_tree("optimizer")',
                "llamafactory/data/evaluate-stage-3-optimizer",
            ),
        ),
        fires={"run.evaluates": True, "ds.optimizer": {"type": "AdamW"}},
        holds={"ds.optimizer": {"type": "AdamW"}},
    ),
    refusal(
        "LF234",
        "evaluation below ZeRO-3",
        "lf.evaluate",
        (truthy(get("run.evaluates")), no(STAGE_3)),
        "ZeRO inference only makes sense with ZeRO Stage 3 - please adjust your config",
        ("lf.do_train", "ds.zero_optimization.stage"),
        "Without an optimizer only stage 3 has something to divide.",
        "Write do_train: true, or evaluate without deepspeed.",
        (
            Evidence(
                "transformers",
                "5.6.0",
                "transformers/integrations/deepspeed.py",
                "",
                "ZeRO inference only makes sense with ZeRO Stage 3 - please adjust your config",
                "llamafactory/data/evaluate-only",
            ),
        ),
        {"run.evaluates": True, "ds.zero_optimization.stage": 2},
        {"run.evaluates": True, "ds.zero_optimization.stage": 3},
    ),
)


def _muon(code: str, precision: str, recorded: str, versions: tuple[Range, ...] = ()) -> OverrideRule:
    """Stage 0 in half precision keeps copies of the parameters, for which Muon has no state."""
    mine = {"init.optimizer.class": "llamafactory.Muon", f"engine.{precision}.enabled": True}
    return refusal(
        code,
        f"Muon at stage 0 in {precision}",
        "lf.engine",
        (
            eq(get("init.optimizer.class"), "llamafactory.Muon"),
            eq(first_set(get("engine.zero_optimization.stage"), 0), 0),
            truthy(get(f"engine.{precision}.enabled")),
        ),
        "'use_muon'",
        ("lf.use_muon", "ds.zero_optimization.stage"),
        "DeepSpeed copies the parameters, and Muon looks its own up in a table.",
        "Use stage 1 or 2.",
        ev(
            "third_party/muon/muon.py",
            'params = [p for p in group["params"] if self.state[p]["use_muon"]]',
            recorded,
        ),
        mine,
        {**mine, "engine.zero_optimization.stage": 2},
        kind="KeyError",
        versions=versions,
    )


# Older ones keep bf16 in an optimizer of its own, which does not try a step at once.
_BF16 = (Range("deepspeed", since="0.17.6"),)
ENGINE = (
    _muon("LF235", "bf16", "method/muon-stage-0", _BF16),
    _muon("LF236", "fp16", "method/muon-stage-0-fp16"),
)
