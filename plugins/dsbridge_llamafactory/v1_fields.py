"""The words of LLaMA-Factory's V1, and what they say in the spec."""

from __future__ import annotations

from typing import Any

from dsbridge.sdk import Codec, Fidelity, Field
from dsbridge_llamafactory.v1_table import default

DIALECT_KEY, DIALECT = "dialect", "v1"  # under frameworks.llamafactory: these are V1's words

ATTENTION = ("eager", "sdpa", "flash_attention_2")  # v1/config/model_args.py
# llamafactory 0.9.5 v1/config/*.py
TOP = (
    Field("model.name_or_path", "model"),
    Field("model.trust_remote_code", "trust_remote_code"),
    Field(
        "model.attention",
        "flash_attn",
        codec=Codec(words={word: word for word in ("eager", "sdpa", "flash_attention_2")}),
    ),
    Field("batch.micro_per_gpu", "micro_batch_size"),
    Field("training.sequence_length", "cutoff_len"),
    Field("optimizer.lr", "learning_rate"),
    Field("training.epochs", "num_train_epochs"),
    Field("training.max_steps", "max_steps"),
    Field("training.gradient_checkpointing", "enable_activation_checkpointing"),
    Field("training.seed", "seed"),
    Field("training.save_steps", "save_steps"),
    Field("training.save_total_limit", "save_total_limit"),
    Field("training.logging_steps", "logging_steps"),
    Field("training.output_dir", "output_dir"),
)
NO_PLACE = (
    Field(
        "launch.script",
        fidelity=Fidelity.UNSUPPORTED,
        reason="LLaMA-Factory has an entry point of its own",
    ),
)
# v1/plugins/model_plugins/peft.py
LORA = (
    Field("finetuning.rank", "peft_config.r"),
    Field("finetuning.alpha", "peft_config.lora_alpha"),
    Field("finetuning.dropout", "peft_config.lora_dropout"),
    Field("finetuning.target_modules", "peft_config.target_modules"),
    Field("finetuning.use_rslora", "peft_config.use_rslora"),
    Field("finetuning.use_dora", "peft_config.use_dora"),
)
FREEZE = (
    Field("finetuning.trainable_layers", "peft_config.freeze_trainable_layers"),
    Field("finetuning.trainable_modules", "peft_config.freeze_trainable_modules"),
)
# v1/plugins/model_plugins/quantization.py
QUANT = (
    Field("finetuning.quantization_bits", "quant_config.quantization_bit"),
    Field("finetuning.quantization_type", "quant_config.quantization_type"),
    Field("finetuning.double_quantization", "quant_config.double_quantization"),
)
# v1/plugins/trainer_plugins/distributed/fsdp2.py; cp_size in v1/accelerator/interface.py
FSDP2 = (
    Field("fsdp.reshard_after_forward", "dist_config.reshard_after_forward"),
    Field("fsdp.offload_params", "dist_config.offload_params"),
    Field("parallelism.ulysses", "dist_config.cp_size"),
)
METHODS = ("lora", "freeze")  # no peft_config: full

# What V1 does where its YAML says nothing, by spec path. AdamW and its numbers are torch's own
# (0.9.5 v1/core/base_trainer.py:197), and the learning rate stays as it is (206).
SILENT: dict[str, Any] = {
    "model.name_or_path": default("model"),
    "batch.micro_per_gpu": default("micro_batch_size"),
    "training.sequence_length": default("cutoff_len"),
    "training.epochs": default("num_train_epochs"),
    "training.gradient_checkpointing": default("enable_activation_checkpointing"),
    "training.seed": default("seed"),
    "optimizer.lr": default("learning_rate"),
    "optimizer.type": "adamw",
    "optimizer.betas": [0.9, 0.999],
    "optimizer.eps": 1e-8,
    "optimizer.weight_decay": 0.01,
    "scheduler.type": "constant",
}
# v1/plugins/model_plugins/peft.py:160-177 of 0.9.5
SILENT_LORA: dict[str, Any] = {
    "finetuning.rank": 8,
    "finetuning.alpha": 16,
    "finetuning.dropout": 0.05,
    "finetuning.target_modules": "all",
}
# what V1 does and no key of its says: a spec that says it too is met
FIXED = ("optimizer.type", "optimizer.betas", "optimizer.eps", "optimizer.weight_decay", "scheduler.type")

# as V1's examples have them; what no group names goes to ### training
SECTIONS = {
    "model": (
        "model",
        "trust_remote_code",
        "model_class",
        "template",
        "flash_attn",
        "init_config",
        "peft_config",
        "kernel_config",
        "quant_config",
    ),
    "distributed": ("dist_config",),
    "data": ("train_dataset", "eval_dataset"),
    "training": (),
    "sample": ("sample_backend", "max_new_tokens"),
}
