"""The field tables of `TrainingArguments`."""

from __future__ import annotations

from collections.abc import Mapping

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
_TRL_ROWS = {"max_length": "training.sequence_length", "max_seq_length": "training.sequence_length",
             "packing": "training.packing"}  # fmt: skip


def rows_for(kind: str, versions: Mapping[str, str]) -> tuple[Field, ...]:
    """TRAINER_ONLY, with what TRL's class of arguments takes of it. kind: the class, or ""."""
    from dsbridge_trainer import trl_table

    own = trl_table.rows(kind, trl_table.of(versions)) if trl_table.is_arguments(kind) else {}
    found = {path: Field(path, name) for name, path in reversed(_TRL_ROWS.items()) if name in own}
    return tuple(found.get(row.path, row) for row in TRAINER_ONLY)
