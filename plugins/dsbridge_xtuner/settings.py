"""Spec values that need a decision before they are fields of an XTuner config."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from dsbridge.sdk import AUTO, UNSET, batch_numbers, dims, place, unsupported
from dsbridge_xtuner import codes
from dsbridge_xtuner.ds import uses_deepspeed
from dsbridge_xtuner.fields import ADAM_LIKE, FIELDS, NO_PLACE, OPTIMIZERS
from dsbridge_xtuner.schedule import schedule
from dsbridge_xtuner.shape import MODEL_PATH, UNKNOWN
from dsbridge_xtuner.wants import Context, steps_need_accumulation

_BITSANDBYTES = "transformers.BitsAndBytesConfig"
_AMP = {"bf16": "bfloat16", "fp16": "float16"}
_SAMPLER = "xtuner.parallel.sequence.SequenceParallelSampler"
QUANTISE_LLM = "model.quantization_llm"
LORA = {
    "rank": "r",
    "alpha": "lora_alpha",
    "dropout": "lora_dropout",
    "use_rslora": "use_rslora",
    "use_dora": "use_dora",
}
QUANTISATION = {
    "quantization_type": "bnb_4bit_quant_type",
    "double_quantization": "bnb_4bit_use_double_quant",
}


def settle(context: Context) -> None:
    """Every decision, in the order in which a reader looks for the fields."""
    for decide in DECISIONS:
        decide(context)


def _batch(context: Context) -> None:
    wants, numbers = context.wants, batch_numbers(context.spec)
    if numbers.micro is not None:
        wants.set("train_dataloader.batch_size", numbers.micro, "batch.micro_per_gpu")
    if numbers.accumulation is not None:
        wants.set("optim_wrapper.accumulative_counts", numbers.accumulation, "batch.accumulation")
    if context.shape.get("use_varlen_attn") is True and numbers.micro not in (None, 1):
        message = f"the config uses variable-length attention: {numbers.micro} samples a GPU are refused"
        hint = "Write `batch.micro_per_gpu: 1`; the samples are packed into one sequence."
        wants.tell(codes.VARLEN(message, hint=hint, key="batch.micro_per_gpu"))


def _table(context: Context) -> None:
    """The fields that one key says."""
    wants = context.wants
    placed = place((*FIELDS, *NO_PLACE), context.request.values)
    path_of = {row.key: row.path for row in FIELDS}
    for key, value in placed.document("cfg").items():
        exact = tuple(value) if key.endswith(".betas") else value
        wants.set(key, exact, path_of[key])
    _datasets(context)
    if context.spec.gradient_clipping == 0 and not uses_deepspeed(context.spec):
        # torch would scale every gradient to nothing
        del wants.fields["optim_wrapper.clip_grad.max_norm"]
        wants.clear("optim_wrapper.clip_grad", "gradient_clipping")
    wants.flags |= placed.document("flags")
    claimed = set(placed.claimed)
    if context.spec.scheduler.type == "cosine_with_min_lr":
        claimed |= {"scheduler.min_lr"}
    dropped = {"scheduler.min_lr"} if context.spec.scheduler.type == "cosine_with_min_lr" else set()
    wants.tell(*(d for d in placed.diagnostics if d.key not in dropped))
    wants.claim(claimed)
    if context.spec.training.gradient_checkpointing is True and context.shape.known:
        # the default of SupervisedFinetune (xtuner 0.2.0 model/sft.py:80)
        name = "model.use_activation_checkpointing"
        if not context.shape.has(name):
            del wants.fields[name]


def _datasets(context: Context) -> None:
    """Length and packing of the samples, in each dataset where the config lists several."""
    wants, shape, root = context.wants, context.shape, "train_dataloader.dataset"
    for name in ("max_length", "pack_to_max_length"):
        path = f"{root}.{name}"
        if path not in wants.fields or not shape.known or shape.has(path):
            continue
        if shape.get(f"{root}.type") in ("process_hf_dataset", UNKNOWN):
            continue  # it takes both, whether the config gives them or not
        value, key = wants.fields.pop(path), wants.keys[path]
        parts = [leaf for leaf in shape.leaves if re.fullmatch(rf"{root}\.datasets\.\d+\.{name}", leaf)]
        for part in parts:
            wants.set(part, value, key)
        if not parts:
            reason = f"the dataset of {shape.source} ({shape.get(f'{root}.type')}) has no `{name}`"
            wants.tell(unsupported(key, value, reason, "Say it in the config, as its dataset takes it."))


def _model(context: Context) -> None:
    """Each copy of the path: the variable was substituted into the model and into every tokenizer."""
    wants, model = context.wants, context.spec.model
    wants.claim(p for p in ("model.name_or_path", "model.trust_remote_code") if p in context.request.values)
    for parent in context.shape.same_model():
        if model.name_or_path is not UNSET:
            wants.set(f"{parent}.{MODEL_PATH}", model.name_or_path, "model.name_or_path")
        if model.trust_remote_code is not UNSET:
            wants.set(f"{parent}.trust_remote_code", model.trust_remote_code, "model.trust_remote_code")
    if model.trust_remote_code is False:
        reason = "XTuner reads the model's config.json with trust_remote_code=True (0.2.0 model/sft.py:266)"
        wants.tell(unsupported("model.trust_remote_code", False, reason, "Check what code the model brings."))


def _precision(context: Context) -> None:
    """DeepSpeed's blocks rule where there are any; full precision has to be told to the loader too."""
    dtype = context.spec.precision.dtype
    if not uses_deepspeed(context.spec):
        context.wants.claim(["precision.dtype"])
        if dtype in _AMP:
            context.wants.ensure("optim_wrapper.type", "mmengine.optim.AmpOptimWrapper", "precision.dtype")
            context.wants.set("optim_wrapper.dtype", _AMP[str(dtype)], "precision.dtype")
        return
    if dtype != "fp32":
        return
    context.wants.set("model.llm.torch_dtype", "torch.float32", "precision.dtype")
    if context.spec.model.attention not in ("eager", "sdpa"):
        message = "with flash_attn installed XTuner loads the weights in 16 bits (0.2.0 model/sft.py:240)"
        hint = "Write `model.attention: sdpa` to keep fp32."
        context.wants.tell(codes.FP32_WEIGHTS(message, hint=hint, key="precision.dtype"))


def _finetuning(context: Context) -> None:
    tuning, wants = context.spec.finetuning, context.wants
    given = {p for p in context.request.values if p.startswith("finetuning.")}
    wants.claim(given)
    if tuning.method == "freeze":
        hint = "Write `finetuning.method: full` or lora."
        wants.tell(codes.NO_FREEZE("XTuner cannot freeze layers", hint=hint, key="finetuning.method"))
        return
    adapters = tuning.method in ("lora", "qlora") or any(p.split(".")[1] in LORA for p in given)
    lora = "model.llm_lora" if context.shape.has("model.llm_lora") else "model.lora"
    if tuning.method == "full":
        wants.clear(lora, "finetuning.method")
    elif adapters or tuning.target_modules is not UNSET:
        _lora(context, lora)
    bits = 4 if tuning.method == "qlora" and tuning.quantization_bits is UNSET else tuning.quantization_bits
    if bits is not UNSET or any(getattr(tuning, name) is not UNSET for name in QUANTISATION):
        _quantise(context, bits)
    elif tuning.method in ("full", "lora"):
        _no_quantisation(context)


def _lora(context: Context, prefix: str) -> None:
    tuning, wants = context.spec.finetuning, context.wants
    # with its type the block works whether the config has one or not: mmengine imports dotted names
    wants.ensure(f"{prefix}.type", "peft.LoraConfig", "finetuning.method")
    if not context.shape.has(prefix):
        wants.set(f"{prefix}.task_type", "CAUSAL_LM", "finetuning.method")
    for name, key in LORA.items():
        value = getattr(tuning, name)
        if value is not UNSET:
            whole = isinstance(value, float) and value.is_integer() and name == "alpha"
            wants.set(f"{prefix}.{key}", int(value) if whole else value, f"finetuning.{name}")
    if tuning.target_modules is not UNSET:
        # None: every linear layer but the head (xtuner 0.2.0 model/sft.py:172)
        given = tuning.target_modules
        layers = list(given) if isinstance(given, tuple) else None
        wants.set(f"{prefix}.target_modules", layers, "finetuning.target_modules")


def _quantise(context: Context, bits: Any) -> None:
    tuning, wants, block = context.spec.finetuning, context.wants, "model.llm.quantization_config"
    if context.shape.known and context.shape.has(QUANTISE_LLM):
        _switch(context, bits)
        return
    wants.ensure(f"{block}.type", _BITSANDBYTES, "finetuning.method")
    if bits is not UNSET:
        key = "finetuning.method" if tuning.quantization_bits is UNSET else "finetuning.quantization_bits"
        wants.set(f"{block}.load_in_4bit", bits == 4, key)
        wants.set(f"{block}.load_in_8bit", bits == 8, key)
    dtype = {"bf16": "torch.bfloat16", "fp16": "torch.float16"}.get(str(context.spec.precision.dtype))
    if dtype and bits != 8:  # the shipped configs compute in float16 whatever the training dtype
        wants.set(f"{block}.bnb_4bit_compute_dtype", dtype, "precision.dtype")
    for name, key in QUANTISATION.items():
        if getattr(tuning, name) is not UNSET:
            wants.set(f"{block}.{key}", getattr(tuning, name), f"finetuning.{name}")


def _switch(context: Context, bits: Any) -> None:
    """InternVL has a switch, for 4 bits of one kind (xtuner 0.2.0 model/internvl.py:65)."""
    key = "finetuning.quantization_bits"
    if bits == 8:
        reason = f"{context.shape.source} quantises to 4 bits or not at all"
        context.wants.tell(unsupported(key, bits, reason, "Write 4."))
    elif bits == 4:
        context.wants.set(QUANTISE_LLM, True, key)


def _no_quantisation(context: Context) -> None:
    block, wants = "model.llm.quantization_config", context.wants
    if context.shape.known and not context.shape.has("model.llm"):
        if context.shape.get(QUANTISE_LLM):
            wants.set(QUANTISE_LLM, False, "finetuning.method")
    elif context.spec.zero.stage != 3:
        wants.clear(block, "finetuning.method")
    elif context.shape.known and context.shape.has(block):
        # xtuner 0.2.0 model/sft.py:257-274 reads the block at stage 3 even where it is None
        message = f"{context.shape.source} quantises the model; at ZeRO-3 an option cannot undo that"
        hint = "Take the config's `_full_` sister, or remove quantization_config from your copy."
        wants.tell(codes.QUANTISED_CONFIG(message, hint=hint, key="finetuning.method"))


def _optimizer(context: Context) -> None:
    kind, wants = context.spec.optimizer.type, context.wants
    if kind is UNSET:
        return
    wants.claim(["optimizer.type"])
    if kind is AUTO:
        return
    prefix = "optim_wrapper.optimizer"
    if kind not in OPTIMIZERS:
        message = f"mmengine 0.10.6 has no optimizer `{kind}` that trains a whole model"
        hint = f"It has {', '.join(OPTIMIZERS)}."
        wants.tell(codes.NO_OPTIMIZER(message, hint=hint, key="optimizer.type"))
    elif kind in ADAM_LIKE:
        wants.ensure(f"{prefix}.type", OPTIMIZERS[kind], "optimizer.type")
    elif context.spec.optimizer.lr in (UNSET, AUTO):
        message = f"`{kind}` does not take the arguments of the config's optimizer, so all are written anew"
        wants.tell(codes.NO_OPTIMIZER(message, hint="Give `optimizer.lr`.", key="optimizer.type"))
    else:
        own = {"weight_decay"} if kind == "sgd" else {"weight_decay", "eps"}
        for name in ("betas", "eps"):
            value = getattr(context.spec.optimizer, name)
            if value not in (UNSET, AUTO) and name not in own:
                wants.tell(unsupported(f"optimizer.{name}", value, f"{OPTIMIZERS[kind]} does not take it"))
        kept = {k: v for k in ("lr", *sorted(own)) if (v := wants.fields.get(f"{prefix}.{k}")) is not None}
        if kind == "adafactor" and "eps" in kept:
            reason = "Adafactor takes two numbers as eps"
            wants.tell(unsupported("optimizer.eps", kept.pop("eps"), reason))
        if kind == "adafactor":  # transformers refuses a rate beside its own relative steps
            kept |= {"relative_step": False, "scale_parameter": False}
        wants.replace(prefix, {"type": OPTIMIZERS[kind], **kept}, "optimizer.type")


def _steps(context: Context) -> None:
    """XTuner's iterations are micro-steps: a spec's optimizer steps times the accumulation."""
    training, wants = context.spec.training, context.wants
    hooks = {
        "save_steps": "default_hooks.checkpoint.interval",
        "logging_steps": "default_hooks.logger.interval",
    }
    for name, path in hooks.items():
        steps = getattr(training, name)
        if steps is UNSET:
            continue
        wants.claim([f"training.{name}"])
        if context.accumulation is None:
            # a warning: the training itself is the same
            wants.tell(steps_need_accumulation(f"training.{name}", steps, codes.WARNING))
            continue
        if context.own_micro(path, steps):
            continue
        micro = steps * context.accumulation
        wants.set(path, micro, f"training.{name}")
        if micro != steps:
            message = f"`{path}` is {micro}: {steps} optimizer steps x accumulation {context.accumulation}"
            wants.tell(codes.MICRO_STEPS(message, key=f"training.{name}"))
        if name == "save_steps" and context.shape.get("default_hooks.checkpoint.by_epoch") is not False:
            wants.set("default_hooks.checkpoint.by_epoch", False, "training.save_steps")


def _length(context: Context) -> None:
    """`train_cfg` takes epochs or micro-steps, and stops on both (xtuner 0.2.0 engine/runner/loops.py:22)."""
    training, wants, shape = context.spec.training, context.wants, context.shape
    wants.claim(p for p in ("training.epochs", "training.max_steps") if p in context.request.values)
    steps = training.max_steps
    if isinstance(steps, int) and steps > 0:
        if context.accumulation is None:
            wants.tell(steps_need_accumulation("training.max_steps", steps))
            return
        micro = context.own_micro("train_cfg.max_iters", steps) or steps * context.accumulation
        wants.clear("train_cfg.max_epochs", "training.max_steps")
        wants.set("train_cfg.max_iters", micro, "training.max_steps")
    elif isinstance(training.epochs, int | float):
        epochs = training.epochs
        whole = int(epochs) if float(epochs).is_integer() else epochs
        if shape.has("train_cfg.max_iters") or not shape.known:
            wants.set("train_cfg.max_iters", None, "training.epochs")
        wants.set("train_cfg.max_epochs", whole, "training.epochs")
        if whole != int(whole):
            message = f"{epochs} epochs: mmengine stops unless that is a whole number of micro-steps"
            hint = "Give `training.max_steps` instead."
            wants.tell(codes.EPOCHS(message, hint=hint, key="training.epochs"))


def _ulysses(context: Context) -> None:
    """XTuner's own sequence parallelism: the size, and a sampler that gives its ranks the same samples."""
    wants, shape, size = context.wants, context.shape, dims(context.spec).ulysses
    wants.claim(p for p in ("parallelism.ulysses",) if p in context.request.values)
    if context.spec.parallelism.ulysses is UNSET:
        return
    key = "parallelism.ulysses"
    had = shape.number("sequence_parallel_size") or 1
    if size > 1 or had > 1 or not shape.known or shape.has("sequence_parallel_size"):
        wants.set("sequence_parallel_size", size, key)
    if size > 1:
        if not shape.known or had <= 1:  # a config made for it may have a sampler of its own
            wants.ensure("train_dataloader.sampler.type", _SAMPLER, key)
        kind = shape.get("model.type")
        if shape.known and kind not in ("SupervisedFinetune", "DPO", "ORPO", "RewardModel", UNKNOWN):
            message = f"{kind} of {shape.source} has no sequence parallelism"
            wants.tell(codes.NO_ULYSSES(message, hint="Remove `parallelism.ulysses`.", key=key))
        if context.spec.model.attention not in (UNSET, "flash_attention_2"):
            message = f"sequence parallelism needs flash_attn, not {context.spec.model.attention}"
            hint = "Write `model.attention: flash_attention_2`, or leave it out."
            wants.tell(codes.NO_ULYSSES(message, hint=hint, key="model.attention"))
    elif had > 1:
        wants.ensure("train_dataloader.sampler.type", "mmengine.dataset.DefaultSampler", key)


DECISIONS: tuple[Callable[[Context], None], ...] = (
    _ulysses,  # first: configs multiply their accumulation by it
    _batch,
    _table,
    _model,
    _precision,
    _finetuning,
    _optimizer,
    _length,
    schedule,
    _steps,
)
