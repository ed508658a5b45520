"""The field tables of `TrainingArguments`."""

from __future__ import annotations

from dsbridge.sdk import Fidelity, Field

# transformers 5.23.0 training_args.py:771-1510; the same names since 4.48
ARGUMENTS = (
    Field("training.output_dir", "output_dir"),
    Field("training.logging_steps", "logging_steps"),
    Field("training.save_steps", "save_steps"),
    Field("training.save_total_limit", "save_total_limit"),
    Field("checkpoint.save_on_each_node", "save_on_each_node"),
    Field("gradient_clipping", "max_grad_norm"),
    Field("training.epochs", "num_train_epochs"),
    Field("training.max_steps", "max_steps"),
    Field("training.seed", "seed"),
    Field("training.dataloader_num_workers", "dataloader_num_workers"),
    Field("batch.eval_micro_per_gpu", "per_device_eval_batch_size"),
    Field("training.eval_steps", "eval_steps"),
)

_DATA = "the Trainer takes data that your script has prepared"
TRAINER_ONLY = (
    # an alias of activation_checkpointing from 5.2x on (training_args.py:1533), the only name before
    Field("training.gradient_checkpointing", "gradient_checkpointing"),
    Field(
        "training.sequence_length",
        fidelity=Fidelity.UNSUPPORTED,
        reason=_DATA,
        hint="Truncate where you tokenise: `tokenizer(text, truncation=True, max_length=...)`.",
    ),
    Field(
        "training.packing",
        fidelity=Fidelity.UNSUPPORTED,
        reason=_DATA,
        hint="Pack in your script, or use TRL's SFTTrainer, which has `packing`.",
    ),
)
