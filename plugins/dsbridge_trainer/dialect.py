"""What the Trainer does with a DeepSpeed config, and so every framework that stands on it."""

from __future__ import annotations

from dsbridge.sdk import Dialect

# transformers 5.23.0 integrations/deepspeed.py:130-181 (trainer_config_process) and 239-251 (…_finalize):
# filled where they are "auto", and refused by "Please correct the following DeepSpeed config values"
# where they are numbers that differ. So they are always "auto".
TAKES = {
    "train_batch_size": "per_device_train_batch_size",
    "train_micro_batch_size_per_gpu": "per_device_train_batch_size",
    "gradient_accumulation_steps": "gradient_accumulation_steps",
    "gradient_clipping": "max_grad_norm",
    "bf16.enabled": "bf16",
    "fp16.enabled": "fp16",
    "optimizer.params.lr": "learning_rate",
    "optimizer.params.betas": "adam_beta1",
    "optimizer.params.eps": "adam_epsilon",
    "optimizer.params.weight_decay": "weight_decay",
    "scheduler.params.warmup_min_lr": "learning_rate",
    "scheduler.params.warmup_max_lr": "learning_rate",
    "scheduler.params.warmup_num_steps": "warmup_steps",
    "scheduler.params.total_num_steps": "max_steps",
    "checkpoint.use_node_local_storage": "save_on_each_node",
}
# transformers 5.23.0 integrations/deepspeed.py:224-236 (from hidden_size);
# accelerate 1.15.0 utils/dataclasses.py:1280-1300 (stage 2, offload devices "none", gather false)
FILLS = frozenset(
    {
        "zero_optimization.stage",
        "zero_optimization.reduce_bucket_size",
        "zero_optimization.stage3_prefetch_bucket_size",
        "zero_optimization.stage3_param_persistence_threshold",
        "zero_optimization.stage3_gather_16bit_weights_on_model_save",
        "zero_optimization.offload_optimizer.device",
        "zero_optimization.offload_optimizer.nvme_path",
        "zero_optimization.offload_param.device",
        "zero_optimization.offload_param.nvme_path",
    }
)

# accelerate 1.15.0 accelerator.py:2359-2365 gives DeepSpeed micro x accumulation x data-parallel sizes
DIALECT = Dialect(title="the Trainer", takes=TAKES, fills=FILLS, versions=("0.19.8",), knows_ulysses=True)
