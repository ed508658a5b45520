"""Accelerate's own words: which DeepSpeed values its YAML fields say, and its FSDP keys.

`accelerate 1.15.0 FILE:LINE` in a comment names the place in the package that a row depends on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dsbridge.sdk import Codec, Fidelity, Field

# -- DeepSpeed by fields -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DsField:
    """A field of `deepspeed_config:` and the DeepSpeed key it becomes; `never` are values it cannot say."""

    key: str
    never: tuple[Any, ...] = ()
    why: str = ""


_LOST_PATH = "`accelerate launch` does not pass the NVMe path of a field on"  # utils/launch.py:573-576
DS_FIELDS = {
    "zero_optimization.stage": DsField("zero_stage"),
    "gradient_accumulation_steps": DsField("gradient_accumulation_steps"),
    # utils/dataclasses.py:1321 `if self.gradient_clipping:` drops 0; DeepSpeed 0.19.8 then clips at 1.0
    "gradient_clipping": DsField("gradient_clipping", (0,), "as a field, 0 would not switch clipping off"),
    "zero_optimization.offload_optimizer.device": DsField("offload_optimizer_device", ("nvme",), _LOST_PATH),
    "zero_optimization.offload_param.device": DsField("offload_param_device", ("nvme",), _LOST_PATH),
    "zero_optimization.stage3_gather_16bit_weights_on_model_save": DsField("zero3_save_16bit_model"),
}
# what the fields always make: the batch is taken from the script's DataLoader (1302-1305)
DS_IMPLIED = ("train_batch_size", "train_micro_batch_size_per_gpu")
DS_PRECISION = ("bf16.enabled", "fp16.enabled")  # said by `mixed_precision`
MIXED_PRECISION = {"fp32": "no", "fp16": "fp16", "bf16": "bf16", "fp8": "fp8"}

# Accelerate stops when one of them stands beside `deepspeed_config_file` (utils/dataclasses.py:1507-1532)
NVME_FIELDS = {
    "offload_optimizer_nvme_path": "zero_optimization.offload_optimizer.nvme_path",
    "offload_param_nvme_path": "zero_optimization.offload_param.nvme_path",
}
FIELD_TO_DS = {field.key: key for key, field in DS_FIELDS.items()} | NVME_FIELDS

# "auto" in a file: from the plugin (utils/dataclasses.py:1280-1292), from mixed_precision (1422-1444),
# or from the model's hidden_size (accelerator.py:2296-2327). Any other is a ValueError.
DS_FILLS = frozenset(
    {
        *DS_FIELDS,
        *NVME_FIELDS.values(),
        *DS_PRECISION,
        "zero_optimization.reduce_bucket_size",
        "zero_optimization.stage3_prefetch_bucket_size",
        "zero_optimization.stage3_param_persistence_threshold",
    }
)
# ... and from DummyOptim and DummyScheduler (accelerator.py:2329-2354)
DUMMY_FILLS = frozenset(
    {
        "optimizer.params.lr",
        "optimizer.params.weight_decay",
        "scheduler.params.warmup_min_lr",
        "scheduler.params.warmup_max_lr",
        "scheduler.params.warmup_num_steps",
        "scheduler.params.total_num_steps",
    }
)

# -- the YAML --------------------------------------------------------------------------------------

# ClusterConfig of accelerate 1.15.0 commands/config/config_args.py:180-224; any other key stops it
TOP_LEVEL = frozenset(
    {
        "compute_environment",
        "debug",
        "deepspeed_config",
        "distributed_type",
        "downcast_bf16",
        "dynamo_backend",  # once a key of its own: config_args.py:117 still takes it
        "dynamo_config",
        "enable_cpu_affinity",
        "fp16",  # older than mixed_precision: config_args.py:115 still takes it
        "fp8_config",
        "fsdp_config",
        "gpu_ids",
        "machine_rank",
        "main_process_ip",
        "main_process_port",
        "main_training_function",
        "megatron_lm_config",
        "mixed_precision",
        "mpirun_config",
        "num_machines",
        "num_processes",
        "parallelism_config",
        "rdzv_backend",
        "same_network",
        "tpu_env",
        "tpu_name",
        "tpu_use_cluster",
        "tpu_use_sudo",
        "tpu_vm",
        "tpu_zone",
        "use_cpu",
        "command_file",
        "commands",
    }
)
# what `accelerate config` writes besides
USUAL = {
    "compute_environment": "LOCAL_MACHINE",
    "debug": False,
    "enable_cpu_affinity": False,
    "main_training_function": "main",
    "rdzv_backend": "static",
    "same_network": True,
    "use_cpu": False,
}
FP8_BACKEND = Field(
    "precision.fp8_backend", "fp8_config.backend", codec=Codec({"te": "TE", "ao": "AO", "msamp": "MSAMP"})
)
INIT_ON_LOAD = Field("zero.init_on_load", "deepspeed_config.zero3_init_flag")

# -- FSDP ------------------------------------------------------------------------------------------

_UPPER = {
    word: word.upper()
    for word in (
        "full_shard",
        "shard_grad_op",
        "no_shard",
        "hybrid_shard",
        "hybrid_shard_zero2",
        "backward_pre",
        "backward_post",
        "no_prefetch",
        "full_state_dict",
        "sharded_state_dict",
        "local_state_dict",
    )
}
_WRAP = {"transformer": "TRANSFORMER_BASED_WRAP", "size": "SIZE_BASED_WRAP", "none": "NO_WRAP"}


def _fsdp(path: str, key: str, codec: Codec | None = None) -> Field:
    return Field(f"fsdp.{path}", f"fsdp_config.fsdp_{key}", codec=codec or Codec())


def _unsaid(path: str, reason: str, hint: str = "") -> Field:
    return Field(path, fidelity=Fidelity.UNSUPPORTED, reason=reason, hint=hint)


_BOTH = (
    _fsdp("offload_params", "offload_params"),
    _fsdp("auto_wrap", "auto_wrap_policy", Codec(_WRAP)),
    _fsdp("transformer_layer_cls", "transformer_layer_cls_to_wrap", Codec(joined=",")),
    _fsdp("min_num_params", "min_num_params"),
    _fsdp("cpu_ram_efficient_loading", "cpu_ram_efficient_loading"),
    _fsdp("state_dict_type", "state_dict_type", Codec(_UPPER)),
    _fsdp("activation_checkpointing", "activation_checkpointing"),
)
FSDP1 = (
    # not fsdp_reshard_after_forward: the launcher always exports FSDP_SHARDING_STRATEGY, which comes
    # first for version 1 (utils/launch.py:313, utils/dataclasses.py:1846; the same in 1.6.0)
    _fsdp("sharding", "sharding_strategy", Codec(_UPPER)),
    *_BOTH,
    _fsdp("backward_prefetch", "backward_prefetch", Codec(_UPPER)),
    _fsdp("forward_prefetch", "forward_prefetch"),
    _fsdp("use_orig_params", "use_orig_params"),
    _fsdp("sync_module_states", "sync_module_states"),
    _unsaid(
        "fsdp.reshard_after_forward",
        "FSDP 1 says it by its sharding strategy",
        "Write `fsdp.sharding: full_shard` (true) or `shard_grad_op` (false), or `fsdp.version: 2`.",
    ),
)
FSDP2 = (
    *_BOTH,
    _fsdp("reshard_after_forward", "reshard_after_forward"),
    # utils/dataclasses.py:1904-1956: set to None, or refused, with FSDP 2
    _unsaid("fsdp.backward_prefetch", "FSDP 2 has no such choice; Accelerate drops it"),
    _unsaid("fsdp.forward_prefetch", "Accelerate has no forward prefetch with FSDP 2"),
    _unsaid("fsdp.sync_module_states", "FSDP 2 needs none: loading takes care of it"),
)
_DS_ONLY = "it is DeepSpeed's, which does not run with FSDP"
NOT_UNDER_FSDP = {
    "aio.": _DS_ONLY,
    "activation_checkpointing.": "it is DeepSpeed's; FSDP has `fsdp.activation_checkpointing`",
    "checkpoint.": "it is DeepSpeed's; FSDP has `fsdp.state_dict_type`",
    "zero.": _DS_ONLY,
    "precision.fp16.": "it is DeepSpeed's; here pass `Accelerator(kwargs_handlers=[GradScalerKwargs(...)])`",
    "precision.bf16.": _DS_ONLY,
    "precision.communication_dtype": "FSDP reduces in the mixed_precision type",
    "precision.seq_parallel_communication_dtype": _DS_ONLY,
    "precision.grad_accumulation_dtype": "FSDP accumulates in the type of its sharded parameters",
    "parallelism.tp_": _DS_ONLY,
    "parallelism.ulysses_": _DS_ONLY,
}
