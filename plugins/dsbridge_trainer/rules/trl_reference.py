"""The reference model of DPO, KTO, GRPO and RLOO: TRL gives it an engine of its own, before training starts.

It gets the config as Accelerate's plugin has it, at stage 0 unless the stage is 3. Before 1.10 it got the
blocks of optimizer and scheduler too, though it has nothing to train.
"""

from __future__ import annotations

from typing import Any

from dsbridge.rulebook import (
    UNSET,
    Evidence,
    OverrideRule,
    Range,
    all_of,
    any_of,
    children,
    eq,
    get,
    here_path,
    is_a,
    is_set,
    missing,
    no,
    one_of,
    truthy,
)
from dsbridge_trainer.rules._trl import OLD, ev, refusal, since, until, write

_FILE = "models/utils.py"
ALONE = "1.10.0"  # from here on without optimizer and scheduler
_LORA, _GIVEN = truthy(get("script.reference.lora")), truthy(get("script.reference.given"))
_IS_PAIRS = one_of(get("script.kind"), ("DPOTrainer", "KTOTrainer"))
_MADE = all_of(no(_LORA), no(truthy(get("args.precompute_ref_log_probs"))))
_PAIRS = all_of(_IS_PAIRS, any_of(_GIVEN, _MADE))
_GROUPS = all_of(
    one_of(get("script.kind"), ("GRPOTrainer", "RLOOTrainer")), truthy(get("args.beta")), no(_LORA)
)
_NEEDED = all_of(is_set(get("ds")), any_of(_PAIRS, _GROUPS))
_STAGE = get("ds.zero_optimization.stage")
_DPO: dict[str, Any] = {
    "script.kind": "DPOTrainer",
    "script.reference.given": False,
    "script.reference.lora": False,
}
_TWO = {**_DPO, "ds.zero_optimization.stage": 2}


def _copied(code: str, method: str, end: str) -> OverrideRule:
    """DPOTrainer's and KTOTrainer's copy of the model."""
    kind = f"{method}Trainer"
    example = {**_DPO, "script.kind": kind}
    return refusal(
        code, f"the reference model of {method} under ZeRO-3 (TRL before {end})", "reference.copy",
        all_of(is_set(get("ds")), eq(_STAGE, 3), eq(get("script.kind"), kind), no(_GIVEN), _MADE),
        ("ValueError", "DeepSpeed ZeRO-3 is enabled and is not compatible with `create_reference_model()`. "
         "Please instantiate your reference model directly with `AutoModelForCausalLM.from_pretrained()`.",
         ("ds.zero_optimization.stage", "script.reference")),
        "Without ref_model TRL copied the model, and a model in parts cannot be copied.",
        ev("models/modeling_base.py", "622", '"DeepSpeed ZeRO-3 is enabled and is not compatible with '
           '`create_reference_model()`. Please instantiate', f"{method.lower()}/z3", OLD),
        {**example, "ds.zero_optimization.stage": 3}, {**example, "ds.zero_optimization.stage": 2},
        hint="Pass ref_model=AutoModelForCausalLM.from_pretrained(...).",
        versions=until(end),
    )  # fmt: skip


REFERENCE: tuple[OverrideRule, ...] = (
    refusal(
        "TRL120", "a reference model, and no stage", "reference",
        all_of(_NEEDED, is_a(get("ds.zero_optimization"), "dict"), missing(_STAGE)),
        ("KeyError", "'stage'", ("ds.zero_optimization.stage",)),
        "TRL asks for the stage, to turn it off for the reference model.",
        ev(_FILE, "256", 'stage = config_kwargs["zero_optimization"]["stage"]', "dpo/no-stage"),
        {**_DPO, "ds.zero_optimization": {}}, _TWO,
        hint="Write zero_optimization.stage.",
    ),
    _copied("TRL121", "DPO", "0.29.0"),
    _copied("TRL127", "KTO", "1.2.0"),
    refusal(
        "TRL126", "precomputed log-probabilities under ZeRO-3 (TRL before 0.29)", "reference",
        all_of(is_set(get("ds")), eq(_STAGE, 3), eq(get("script.kind"), "DPOTrainer"),
               truthy(get("args.precompute_ref_log_probs"))),
        ("ValueError", "You cannot use `precompute_ref_log_probs=True` with Deepspeed ZeRO-3. Please set "
         "`precompute_ref_log_probs=False`.", ("args.precompute_ref_log_probs",)),
        "TRL refuses it.",
        ev("trainer/dpo_trainer.py", "495", '"You cannot use `precompute_ref_log_probs=True` with Deepspeed '
           'ZeRO-3. Please set `precompute_ref_log_probs=False`."', "dpo/z3-precompute", OLD),
        {**_DPO, "ds.zero_optimization.stage": 3, "args.precompute_ref_log_probs": True},
        {**_DPO, "ds.zero_optimization.stage": 3, "args.precompute_ref_log_probs": False},
        hint="Set it to False.",
        versions=until("0.29.0"),
    ),
    write(
        "TRL122", "the reference model has an engine of its own", "reference",
        _NEEDED, "ref", get("ds"),
        "prepare_deepspeed hands the same config to deepspeed.initialize before training starts.",
        ev("trainer/dpo_trainer.py", "986",
           "self.ref_model = prepare_deepspeed(self.ref_model, self.accelerator)", "dpo/z2"),
        {**_DPO, "ds.bf16": {}}, {**_DPO, "script.reference.lora": True, "ds.bf16": {}},
        hint="Leave optimizer and scheduler to the arguments: before TRL 1.10 it gets their blocks too.",
    ),
    write(
        "TRL123", "below stage 3 the reference model is not divided", "reference.stage",
        all_of(is_set(get("ref")), no(eq(_STAGE, 3))), "ref.zero_optimization.stage", 0,
        "Stages 1 and 2 divide what a model without training does not have.",
        ev(_FILE, "286", 'config_kwargs["zero_optimization"]["stage"] = 0', "dpo/z2"),
        {"ref": {}, "ds.zero_optimization.stage": 2}, {"ref": {}, "ds.zero_optimization.stage": 3},
    ),
    write(
        "TRL124", "the reference model gets no optimizer and no scheduler", "reference.blocks",
        any_of(is_set(get("ref.optimizer")), is_set(get("ref.scheduler"))),
        children("ref", one_of(here_path(), ("optimizer", "scheduler"))), UNSET,
        "From 1.10 on TRL takes the blocks of training out: this model is not trained.",
        (*ev(_FILE, "279", 'config_kwargs.pop("optimizer", None)', "dpo/z2-scheduler"),
         *ev(_FILE, "280", 'config_kwargs.pop("scheduler", None)', "dpo/z2-scheduler")),
        {"ref.optimizer": {"type": "AdamW"}}, {"ref": {}}, versions=since(ALONE),
    ),
    refusal(
        "TRL128", "an optimizer block and a reference model in bf16 (DeepSpeed before 0.17.6)",
        "reference.sharded",
        all_of(no(_GIVEN), eq(get("engine.zero_optimization.stage"), 0), truthy(get("engine.bf16.enabled")),
               is_set(get("engine.optimizer.type"))),
        ("ValueError", "torch.cat(): expected a non-empty list of Tensors",
         ("ds.optimizer", "ds.bf16.enabled")),
        "The copy gets the optimizer too, and has no parameter that trains.",
        (Evidence("deepspeed", "0.16.9", "deepspeed/runtime/bf16_optimizer.py", "269",
                  "return self.flatten(align_dense_tensors(tensor_list, alignment))",
                  "trl/dpo/z2-optimizer-bf16"),),
        {"engine.zero_optimization.stage": 0, "engine.bf16.enabled": True, "engine.optimizer.type": "AdamW"},
        {"engine.zero_optimization.stage": 0, "engine.bf16.enabled": False,
         "engine.optimizer.type": "AdamW"},
        hint="Remove the optimizer block: the Trainer makes the optimizer of the arguments.",
        versions=(Range("deepspeed", until="0.17.6"), Range("trl", until=ALONE)),
    ),
)  # fmt: skip
