"""Where a spec value goes in an XTuner config: dotted paths of the nested fields that XTuner reads.

A module-level variable (`batch_size = 1`) is substituted when the config is loaded, before
--cfg-options are merged (xtuner 0.2.0 tools/train.py:129-133): only the nested field counts.
"""

from __future__ import annotations

from dsbridge.sdk import SAME, Codec, Fidelity, Field

# what transformers 4.48.0 has
_ATTENTION = {name: name for name in ("eager", "sdpa", "flash_attention_2")}
# mmengine 0.10.6 optim/optimizer/builder.py registers torch's, transformers' and bitsandbytes'
OPTIMIZERS = {
    "adamw": "AdamW",
    "adam": "Adam",
    "sgd": "SGD",
    "adagrad": "Adagrad",
    "adafactor": "Adafactor",
    "adamw_8bit": "AdamW8bit",
    "paged_adamw_8bit": "PagedAdamW8bit",
}
ADAM_LIKE = frozenset({"adamw", "adam", "adamw_8bit", "paged_adamw_8bit"})
# deepspeed 0.16.2 runtime/zero/utils.py:43
TESTED_WITH_ZERO = frozenset({"adamw", "adam", "adagrad"})

# fields that one key says; the others need a decision and stand in settings.py
FIELDS = (
    Field("model.attention", "model.llm.attn_implementation", "cfg", Codec(words=_ATTENTION)),
    Field("training.sequence_length", "train_dataloader.dataset.max_length", "cfg"),
    Field("training.packing", "train_dataloader.dataset.pack_to_max_length", "cfg"),
    Field("training.gradient_checkpointing", "model.use_activation_checkpointing", "cfg"),
    Field("training.seed", "randomness.seed", "cfg"),
    Field("training.save_total_limit", "default_hooks.checkpoint.max_keep_ckpts", "cfg"),
    Field("training.dataloader_num_workers", "train_dataloader.num_workers", "cfg"),
    Field("gradient_clipping", "optim_wrapper.clip_grad.max_norm", "cfg"),
    Field("optimizer.lr", "optim_wrapper.optimizer.lr", "cfg"),
    Field("optimizer.eps", "optim_wrapper.optimizer.eps", "cfg"),
    Field("optimizer.weight_decay", "optim_wrapper.optimizer.weight_decay", "cfg"),
    Field("optimizer.betas", "optim_wrapper.optimizer.betas", "cfg"),
    Field("training.output_dir", "--work-dir", "flags"),
)


def _no(path: str, reason: str, hint: str = "") -> Field:
    return Field(path, codec=SAME, fidelity=Fidelity.UNSUPPORTED, reason=reason, hint=hint)


_ONLY_TRAINS = "XTuner's loop only trains (xtuner 0.2.0 engine/runner/loops.py:9)"
_OWN_ULYSSES = "XTuner's sequence parallelism has its own attention (xtuner 0.2.0 parallel/sequence)"
NO_PLACE = (
    _no("training.eval_steps", _ONLY_TRAINS, "An EvaluateChatHook in the config talks to the model."),
    _no("batch.eval_micro_per_gpu", _ONLY_TRAINS),
    _no("parallelism.ep", "XTuner 0.2 has no expert parallelism under DeepSpeed"),
    _no("parallelism.ulysses_attention", _OWN_ULYSSES, "It needs flash_attn and nothing said here."),
    _no("parallelism.ulysses_sequence_length_is_variable", _OWN_ULYSSES),
    _no("precision.fp8_backend", "XTuner 0.2 has no fp8"),
    _no(
        "zero.init_on_load",
        "XTuner builds the model under zero.Init at stage 3, and only there "
        "(xtuner 0.2.0 engine/_strategy/deepspeed.py:22)",
    ),
    _no("launch.script", "`xtuner train` is the entry point"),
    _no("scheduler.min_lr", "only the curve cosine_with_min_lr has an end above zero here"),
    _no("scheduler.min_lr_ratio", "only the curve cosine_with_min_lr has an end above zero here"),
    _no("finetuning.trainable_layers", "XTuner freezes no single layers"),
    _no("finetuning.trainable_modules", "XTuner freezes no single layers"),
)

# variables of the shipped configs, and the field that each of them was substituted into
VARIABLES = {
    "pretrained_model_name_or_path": "model.llm.pretrained_model_name_or_path",
    "use_varlen_attn": "model.use_varlen_attn",
    "max_length": "train_dataloader.dataset.max_length",
    "pack_to_max_length": "train_dataloader.dataset.pack_to_max_length",
    "data_path": "train_dataloader.dataset.dataset.path",
    "prompt_template": "train_dataloader.dataset.template_map_fn.template",
    "batch_size": "train_dataloader.batch_size",
    "accumulative_counts": "optim_wrapper.accumulative_counts",
    "dataloader_num_workers": "train_dataloader.num_workers",
    "max_epochs": "train_cfg.max_epochs",
    "optim_type": "optim_wrapper.optimizer.type",
    "lr": "optim_wrapper.optimizer.lr",
    "betas": "optim_wrapper.optimizer.betas",
    "weight_decay": "optim_wrapper.optimizer.weight_decay",
    "max_norm": "optim_wrapper.clip_grad.max_norm",
    "warmup_ratio": "param_scheduler.0.end",
    "save_steps": "default_hooks.checkpoint.interval",
    "save_total_limit": "default_hooks.checkpoint.max_keep_ckpts",
    "evaluation_freq": "custom_hooks.1.every_n_iters",
}
