"""V1's DeepSpeedEngine: what it does to the ds_config around Accelerate, and what never reaches it."""

from __future__ import annotations

from typing import Any

from dsbridge.rulebook import (
    UNSET,
    Evidence,
    OverrideRule,
    Range,
    all_of,
    any_of,
    choose,
    differs,
    eq,
    first_set,
    get,
    is_a,
    is_auto,
    is_set,
    less,
    lower,
    missing,
    no,
    text,
    to_text,
    truthy,
    type_name,
)
from dsbridge_llamafactory.rules.v1_make import BY_DEEPSPEED, DEEPSPEED, ev, stops, writes
from dsbridge_llamafactory.rules.v1_setup import named

_UTILS = "plugins/model_plugins/deepspeed_utils.py"
_ENGINE = "plugins/trainer_plugins/distributed/deepspeed.py"
_FILE = get("v1.dist_config.config_file")
_DS = {**BY_DEEPSPEED, "v1.dist_config.config_file": "ds.json"}

CONFIG = (
    stops(
        "LF330",
        "DeepSpeed without a config file",
        "config",
        (DEEPSPEED, no(truthy(first_set(_FILE, "")))),
        ("ValueError", "DeepSpeed config_file is required in dist_config", ("lf.dist_config.config_file",)),
        "V1 makes no DeepSpeed config of its own, and reads no other key of dist_config for it.",
        "Write `config_file:` below `dist_config:`.",
        ev(_UTILS, 'raise ValueError("DeepSpeed config_file is required in dist_config")', "yaml/no-file"),
        BY_DEEPSPEED,
        _DS,
    ),
    stops(
        "LF331",
        "V1 cannot read the DeepSpeed config",
        "config",
        (is_set(get("dsfile.problem")),),
        (get("dsfile.problem.type"), get("dsfile.problem.message"), ("lf.dist_config.config_file",)),
        "It is opened by json.load: a file of strict JSON that is a mapping.",
        "Paths are relative to the folder the command runs in; JSON has no comments.",
        ev(_UTILS, "return json.load(f)", "yaml/absent-file-uneven"),
        {"dsfile.problem": {"type": "JSONDecodeError", "message": "…"}},
        _DS,
    ),
)  # fmt: skip


def _block(code: str, name: str, recorded: str) -> OverrideRule:
    path = f"ds.{name}"
    return stops(
        code,
        f"{name} is no mapping to V1",
        "precision",
        (DEEPSPEED, is_set(get(path)), no(is_a(get(path), "dict"))),
        ("AttributeError", text("'{}' object has no attribute 'get'", type_name(get(path))), (path,)),
        "V1 looks for `enabled` below it.",
        'Write {"enabled": "auto"}, or take the block out.',
        ev(_UTILS, f'{name}_enabled = _normalize_precision_enabled(ds_config["{name}"].get("enabled", '
           '"auto"))', recorded),
        {**_DS, path: []},
        {**_DS, path: {}},
    )  # fmt: skip


def _may_hold(name: str) -> Any:
    """The block is a mapping, or is made."""
    return any_of(missing(get(f"ds.{name}")), is_a(get(f"ds.{name}"), "dict"))


def _said(name: str) -> Any:
    return lower(to_text(first_set(get(f"ds.{name}.enabled"), "auto")))


_BF16, _FP16 = _said("bf16"), _said("fp16")
# infer_deepspeed_mixed_precision: bf16 unless the config says no
_CHOSEN = choose(eq(_BF16, "true"), True, no(any_of(eq(_BF16, "false"), eq(_FP16, "false"))))
_WISH = get("v1.bf16")
PRECISION = (
    _block("LF333", "fp16", "ds/fp16-null"),
    _block("LF334", "bf16", "ds/bf16-list"),
    stops(
        "LF335",
        "V1 has no fp16 with DeepSpeed",
        "precision",
        (DEEPSPEED, eq(_FP16, "true")),
        ("ValueError", "DeepSpeed only supports bf16 mixed precision for now, fp16 is not supported.",
         ("ds.fp16.enabled",)),
        "V1 trains in bf16 or in fp32.",
        'Write "enabled": "auto" below fp16.',
        ev(_UTILS, 'raise ValueError("DeepSpeed only supports bf16 mixed precision for now, fp16 is not '
           'supported.")', "ds/fp16-true"),
        {**_DS, "ds.fp16.enabled": True},
        {**_DS, "ds.fp16.enabled": "auto"},
    ),
    writes(
        "LF336",
        "fp16 is off in V1",
        "precision",
        all_of(DEEPSPEED, _may_hold("fp16")),
        "ds.fp16.enabled",
        False,
        "Both blocks are made where the config has none.",
        ev(_UTILS, 'ds_config["fp16"]["enabled"] = False', "ds/fp16-text"),
        _DS,
        {"v1.dist_config.name": "fsdp2"},
    ),
    writes(
        "LF337",
        "bf16 is on unless the ds_config says no",
        "precision",
        all_of(DEEPSPEED, _may_hold("bf16")),
        "ds.bf16.enabled",
        _CHOSEN,
        'Left out or "auto" means bf16; fp32 needs false at bf16, or at fp16 beside an open bf16.',
        ev(_UTILS, 'ds_config["bf16"]["enabled"] = mixed_precision == "bf16"', "ds/fp16-false"),
        _DS,
        {"v1.dist_config.name": "fsdp2"},
        hint='Write "enabled": false below bf16 to train in fp32.',
    ),
    writes(
        "LF338",
        "V1's own bf16 does not reach DeepSpeed",
        "precision",
        all_of(DEEPSPEED, is_set(_WISH), differs(_WISH, _CHOSEN)),
        "ds.bf16.enabled",
        None,
        "The trainer hands `bf16` to FSDP 2 alone; with DeepSpeed the ds_config decides.",
        ev("core/base_trainer.py", "bf16=self.args.bf16,", "ds/bf16-off"),
        {**_DS, "v1.bf16": False},
        {**_DS, "v1.bf16": True},
        asked=_WISH,
        hint='Write "enabled": false below bf16 in the DeepSpeed config.',
    ),
)  # fmt: skip

_STEPS, _MICRO = "gradient_accumulation_steps", "train_micro_batch_size_per_gpu"


def _copied(
    code: str, title: str, path: str, value: Any, when: Any, quote: str, recorded: str
) -> OverrideRule:
    return writes(
        code,
        title,
        "copy",
        all_of(DEEPSPEED, is_set(get("ds")), when),
        path,
        value,
        "from_pretrained under ZeRO-3 calls zero.Init, which has DeepSpeed parse this copy.",
        ev(_UTILS, quote, recorded),
        {**_DS, "ds": {"train_batch_size": "auto"}, "open": {_STEPS: True, _MICRO: True}},
        BY_DEEPSPEED,
    )


_ALONE = "plugin.set_deepspeed_weakref()"
COPY = (
    _copied("LF340", "V1 shows transformers a copy of the config", "hf", get("ds"), is_set(get("ds")),
            _ALONE, "ds/total-right-3"),
    _copied("LF341", "V1's copy accumulates once", f"hf.{_STEPS}", 1, truthy(get(f"open.{_STEPS}")),
            'ds_config["gradient_accumulation_steps"] = 1', "ds/total-right-3"),
    _copied("LF342", "V1's copy has a micro batch of one", f"hf.{_MICRO}", 1, truthy(get(f"open.{_MICRO}")),
            'ds_config["train_micro_batch_size_per_gpu"] = 1', "ds/total-right-3"),
    _copied("LF343", "V1's copy has no global batch where it is auto", "hf.train_batch_size", UNSET,
            is_auto(get("ds.train_batch_size")), 'ds_config.pop("train_batch_size")', "shipped/z3"),
    _copied("LF344", "V1 loads before DeepSpeed knows the ranks", "init.world_size", 1, is_set(get("ds")),
            _ALONE, "ds/total-right-3"),
)  # fmt: skip
LOADED = (
    writes(
        "LF345",
        "after loading, DeepSpeed counts the ranks",
        "loaded",
        is_set(get("init.world_size")),
        "init.world_size",
        UNSET,
        "accelerator.prepare starts DeepSpeed's own communication before deepspeed.initialize.",
        ev(_ENGINE, "model, optimizer, lr_scheduler = self.accelerator.prepare(model, optimizer, "
           "lr_scheduler)", "shipped/z3"),
        {"init.world_size": 1},
        BY_DEEPSPEED,
    ),
)  # fmt: skip

_TP, _THREE = get("ds.tensor_parallel.autotp_size"), eq(get("ds.zero_optimization.stage"), 3)
_Z3 = {**_DS, "ds.zero_optimization.stage": 3}
SPLIT = (
    stops(
        "LF346",
        "tensor parallelism and ZeRO-3 in V1",
        "loaded",
        (DEEPSPEED, _THREE, is_a(_TP, "int"), less(1, _TP)),
        (
            "NotImplementedError",
            "Weight conversions (e.g., MoE expert fusion) with DeepSpeed Tensor Parallelism are not yet "
            "implemented but support is coming soon. Please disable tensor_parallel in your DeepSpeed config "
            "or convert your checkpoint to the expected format first.",
            ("ds.tensor_parallel.autotp_size", "ds.zero_optimization.stage"),
        ),
        "Weights that are converted while they are loaded are not split by tensor rank.",
        "Use ZeRO-1 with tensor parallelism.",
        (
            Evidence(
                "transformers",
                "5.6.0",
                "transformers/integrations/deepspeed.py",
                "",
                '"Weight conversions (e.g., MoE expert fusion) with DeepSpeed Tensor Parallelism "',
                "llamafactory/v1-ds/tensor-parallel-3",
            ),
        ),
        {**_Z3, "ds.tensor_parallel.autotp_size": 2},
        {**_Z3, "ds.tensor_parallel.autotp_size": 1},
    )._replace(versions=(Range("transformers", since="5.0.0"),)),
)
MODEL = (
    stops(
        "LF347",
        "V1 cannot freeze layers under ZeRO-3",
        "model",
        (DEEPSPEED, _THREE, eq(get("v1.peft_config.name"), "freeze")),
        ("ZeroDivisionError", "division by zero", ("lf.peft_config.name", "ds.zero_optimization.stage")),
        "V1 divides by the number of parameters, and under ZeRO-3 each rank sees none of them.",
        "Use ZeRO-2, or lora.",
        ev("plugins/model_plugins/peft.py", "trainable%: {100 * trainable_params / all_params:.4f}",
           "yaml/freeze-3"),
        {**_Z3, "v1.peft_config.name": "freeze"},
        {**_DS, "v1.peft_config.name": "freeze"},
    ),
)  # fmt: skip

_CP = first_set(get("v1.dist_config.cp_size"), 1)
_CLIP, _OWN_CLIP = get("ds.gradient_clipping"), get("v1.max_grad_norm")
_OWN_MICRO, _GIVEN = get("v1.micro_batch_size"), get(f"ds.{_MICRO}")
_GAS, _COUNTED = get(f"ds.{_STEPS}"), get("accelerator.gradient_accumulation_steps")
_OPEN = any_of(missing(_GIVEN), is_a(_GIVEN, "null"), is_auto(_GIVEN))
ENGINE = (
    stops(
        "LF350",
        "context parallelism is FSDP 2's",
        "engine",
        (DEEPSPEED, less(1, _CP)),
        ("ValueError", "CP currently requires `dist_config.name: fsdp2`.", ("lf.dist_config.cp_size",)),
        "V1 divides sequences with FSDP 2 alone.",
        "Write name: fsdp2, or remove cp_size.",
        ev("plugins/trainer_plugins/distributed/hub.py",
           'raise ValueError("CP currently requires `dist_config.name: fsdp2`.")', "yaml/cp"),
        {**_DS, "v1.dist_config.cp_size": 2},
        _DS,
    ),
    named("LF351", "dist_config", "engine", "sharding", "yaml/unknown-name", "deepspeed or fsdp2"),
    writes(
        "LF352",
        "V1's max_grad_norm does not reach DeepSpeed",
        "engine",
        all_of(DEEPSPEED, is_set(_OWN_CLIP), differs(_OWN_CLIP, choose(is_auto(_CLIP), 1.0, _CLIP))),
        "ds.gradient_clipping",
        None,
        'V1 clips by itself only without DeepSpeed, and gives the number to nobody: "auto" becomes '
        "Accelerate's 1.0.",
        ev("core/base_trainer.py", "grad_norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), "
           "self.args.max_grad_norm).item()", "ds/clip-auto"),
        {**_DS, "v1.max_grad_norm": 0.3, "ds.gradient_clipping": "auto"},
        {**_DS, "v1.max_grad_norm": 1.0, "ds.gradient_clipping": "auto"},
        asked=_OWN_CLIP,
        hint="Write gradient_clipping in the DeepSpeed config.",
    ),
)  # fmt: skip
MICRO = (
    writes(
        "LF353",
        "V1's micro batch fills the ds_config",
        "micro",
        all_of(DEEPSPEED, _OPEN),
        f"ds.{_MICRO}",
        first_set(_OWN_MICRO, 1),
        "V1 prepares no DataLoader, from which Accelerate would read it.",
        ev(_ENGINE, 'ds_config["train_micro_batch_size_per_gpu"] = micro_batch_size', "ds/micro-missing"),
        {**_DS, f"ds.{_MICRO}": "auto"},
        {**_DS, f"ds.{_MICRO}": 4},
    ),
    writes(
        "LF357",
        "V1's accumulation gives way to the ds_config",
        "micro",
        all_of(DEEPSPEED, is_set(get("v1.global_batch_size")), no(is_auto(_GAS)), differs(_COUNTED, _GAS)),
        f"ds.{_STEPS}",
        None,
        "Without the key Accelerate takes 1; V1 still runs as many micro batches a step as the global "
        "batch asks for, and DeepSpeed divides the loss by its own number.",
        ev(_ENGINE, "gradient_accumulation_steps=num_micro_batch,", "ds/steps-missing"),
        {**_DS, f"ds.{_STEPS}": 1, "v1.global_batch_size": 8, "accelerator.gradient_accumulation_steps": 2},
        {**_DS, f"ds.{_STEPS}": 2, "v1.global_batch_size": 8, "accelerator.gradient_accumulation_steps": 2},
        asked=_COUNTED,
        hint='Write "auto" there.',
    ),
    writes(
        "LF354",
        "V1's micro batch gives way to the ds_config",
        "micro",
        all_of(DEEPSPEED, no(_OPEN), is_set(_OWN_MICRO), differs(_OWN_MICRO, _GIVEN)),
        f"ds.{_MICRO}",
        None,
        "DeepSpeed counts with its own number, while V1 goes on loading micro_batch_size samples.",
        ev(_ENGINE, 'if ds_config.get("train_micro_batch_size_per_gpu") in (None, "auto"):',
           "ds/micro-other"),
        {**_DS, f"ds.{_MICRO}": 4, "v1.micro_batch_size": 2},
        {**_DS, f"ds.{_MICRO}": 2, "v1.micro_batch_size": 2},
        asked=_OWN_MICRO,
        hint='Write "auto" there.',
    ),
)  # fmt: skip
OPTIMIZER = (
    named("LF355", "optim_config", "optimizer", "optimizers", "yaml/optim", "none"),
    named("LF356", "lr_scheduler_config", "optimizer", "schedules", "yaml/scheduler", "none"),
)
