"""What a difference in a key of a DeepSpeed config means: by key, or by block where its keys mean one thing.

RESULT: something else is trained. RESOURCES: the same is trained, faster or slower, in more or less memory.
NOTHING: training does not notice. The longest prefix of a path counts; a key with no row is one that
DeepSpeed does not read. A test holds that every harvested key has a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

RESULT, RESOURCES, NOTHING = "result", "resources", "nothing"


class Meaning(NamedTuple):
    """The class of a key, and in words what differs when it does."""

    kind: str
    reason: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason}"


UNREAD = Meaning(NOTHING, "DeepSpeed reads no key of this name")


_Z = "zero_optimization."
_RESULT = {
    "an optimizer step sees another number of samples": ("batch.global", "train_batch_size"),
    "the last, incomplete batch is left out on one side": ("dataloader_drop_last",),
    "DeepSpeed decides at other passes that a step is due": ("managed_gradient_accumulation",),
    "gradients are clipped at another norm": ("gradient_clipping",),
    "another optimizer trains the model": ("optimizer.type",),
    "the optimizer works with another number": ("optimizer", "optimizer.params"),
    "the learning rate differs": ("optimizer.params.lr",),
    "the learning rate follows another curve": ("scheduler",),
    "the warm-up is longer or shorter": ("scheduler.warmup_steps", "scheduler.warmup_ratio"),
    "the forward pass has another number format": ("fp16.enabled", "bf16.enabled"),
    "fp16 scales its loss in another way, so other steps are skipped": ("fp16",),
    "inputs are cast to fp16 on one side": ("fp16.auto_cast",),
    "the optimizer works in another number format": (
        "fp16.fp16_master_weights_and_grads", "bf16.bf16_master_weights_and_grads",
        "bf16.bf16_optimizer_states",
    ),
    "a step with an overflow is skipped on one side": ("bf16.check_grad_overflow",),
    "operations run in another number format": ("torch_autocast", "amp"),
    "gradients are added up in another number format": ("data_types.grad_accum_dtype",),
    "weights or buffers have another number format": (
        "data_types.param_dtype", "data_types.buffer_dtype", "data_types.keep_in_fp32_modules",
    ),
    "gradients are summed over the ranks in another number format": (
        "communication_data_type", "seq_parallel_comm_data_type", "seq_parallel_communication_data_type",
    ),
    "gradients are rounded at another place of their sum": (
        "prescale_gradients", "gradient_predivide_factor",
    ),
    "gradients are summed in place of averaged on one side": ("gradient_allreduce_op",),
    "weights are quantized on one side, or in another way": (
        "quantize_training", "compression_training", "weight_quantization",
    ),
    "weights or gradients are quantized on their way, or not": (
        _Z + "zero_quantized_weights", _Z + "zero_quantized_nontrainable_weights",
        _Z + "zero_quantized_gradients", _Z + "zeropp_loco_param",
    ),
    "ZenFlow steps part of the weights later": (_Z + "zenflow",),
    "a checkpoint's fp32 weights are loaded, or those of the model": (_Z + "load_from_fp32_weights",),
    "weights without a gradient are left alone, or an error": (_Z + "ignore_unused_parameters",),
    "attention looks at other positions": ("sparse_attention",),
    "layers are left out of some steps": ("progressive_layer_drop",),
    "samples come in another order or length": ("curriculum_learning", "data_efficiency"),
    "the batch may be changed to fit the ranks": ("elasticity",),
    "quantization follows the eigenvalues, or not": ("eigenvalue",),
}  # fmt: skip
_RESOURCES = {
    "a forward pass takes another number of samples": ("train_micro_batch_size_per_gpu",),
    "a step adds up another number of passes": ("gradient_accumulation_steps",),
    "another number of ranks share the batch": ("batch.data_parallel",),
    "the same arithmetic in another implementation": ("optimizer.class",),
    "an fp16 optimizer is fused in another way": ("optimizer.legacy_fusion",),
    "gradients are added to their fp32 copy at another moment": ("bf16.immediate_grad_update",),
    "what is sharded over the ranks differs, the arithmetic does not": (_Z + "stage",),
    "gradients travel in other portions": (
        _Z + "reduce_bucket_size", _Z + "use_multi_rank_bucket_allreduce",
    ),
    "gradients are copied to one piece of memory, or not": (_Z + "contiguous_gradients",),
    "gradients reach their owners by another collective": (_Z + "reduce_scatter",),
    "weights travel in other portions": (
        _Z + "allgather_partitions", _Z + "allgather_bucket_size", _Z + "stage3_allgather_sequential",
        _Z + "stage3_use_all_reduce_for_fetch_params",
    ),
    "communication runs beside the computation, or not": (_Z + "overlap_comm",),
    "the norm of the gradients is computed, or not": (_Z + "compute_grad_norm",),
    "weights are stepped in other portions": (_Z + "sub_group_size",),
    "weights are fetched at other times": (
        _Z + "stage3_prefetch_bucket_size", _Z + "stage3_max_live_parameters",
        _Z + "stage3_max_reuse_distance", _Z + "stage3_module_granularity_threshold",
    ),
    "other weights stay whole on every rank": (
        _Z + "stage3_param_persistence_threshold", _Z + "stage3_model_persistence_threshold",
    ),
    "gradients are shared out in another order": (_Z + "round_robin_gradients",),
    "weights are laid out in memory in another way": (_Z + "parameter_alignment",),
    "weights are sharded over other ranks": (
        _Z + "zero_hpz_partition_size", _Z + "mics_shard_size", _Z + "mics_hierarchical_params_gather",
    ),
    "linear layers trade memory for time, or not": (_Z + "memory_efficient_linear",),
    "another implementation of stage 1": (_Z + "legacy_stage1",),
    "a checkpoint is loaded in another way": (_Z + "pipeline_loading_checkpoint", _Z + "elastic_checkpoint"),
    "other modules are fetched as a whole": (_Z + "leaf_module",),
    "Muon's momentum lies elsewhere": (_Z + "save_muon_momentum_buffer_in_memory",),
    "weights lie elsewhere, or travel in another way: GPU, host or NVMe": (
        _Z + "offload_param", _Z + "cpu_offload_param",
    ),
    "optimizer states lie elsewhere, or travel in another way: GPU, host or NVMe": (
        _Z + "offload_optimizer", _Z + "cpu_offload", _Z + "cpu_offload_use_pin_memory",
    ),
    "layers are split over other ranks, or in another way": ("tensor_parallel",),
    "sequences are split over another number of ranks": ("sequence_parallel_size", "data_parallel_size"),
    "experts lie on other ranks": ("expert_parallel", "use_data_before_expert_parallelism"),
    "the pipeline is cut in another way": ("pipeline",),
    "the compiler changes another part of the graph": ("compile", "graph_harvesting"),
    "generation inside training runs in another way": ("hybrid_engine",),
    "activations are kept, sharded or computed again in another way": ("activation_checkpointing",),
    "files on NVMe are read in other portions": ("aio",),
    "gradients of embeddings travel sparsely, or not": ("sparse_gradients",),
    "weights are gathered by another collective": ("disable_allgather",),
    "Python collects garbage at other times": ("disable_python_gc",),
}  # fmt: skip
_NOTHING = {
    "another program makes the optimizer": ("optimizer.owner",),
    "another program steps the learning rate": ("scheduler.owner",),
    "only whether DeepSpeed takes an optimizer that it has not tested": ("zero_allow_untested_optimizer",),
    "only whether DeepSpeed insists on its own CPU optimizer": ("zero_force_ds_cpu_optimizer",),
    "only whether a saved model holds whole 16-bit weights": (
        _Z + "stage3_gather_16bit_weights_on_model_save", _Z + "stage3_gather_fp16_weights_on_model_save",
    ),
    "only how modules are patched while the model is made": (_Z + "override_module_apply",),
    "only what is logged, measured, printed or checked": (
        "tensorboard", "wandb", "csv_monitor", "comet", "monitor", "comms_logger", "flops_profiler", "timers",
        "steps_per_print", "wall_clock_breakdown", "memory_breakdown", "dump_state", "log_level",
        _Z + "log_trace_cache_warnings", _Z + "enable_sanity_checks",
    ),
    "only how checkpoints are written and read": ("checkpoint", "nebula"),
    "only a warning about the vocabulary's size": ("vocabulary_size",),
    "only what the autotuner tries": ("autotuning",),
}  # fmt: skip
MEANINGS: Mapping[str, Meaning] = {
    path: Meaning(kind, reason)
    for kind, rows in ((RESULT, _RESULT), (RESOURCES, _RESOURCES), (NOTHING, _NOTHING))
    for reason, paths in rows.items()
    for path in paths
}


def meaning_of(path: str) -> Meaning:
    """The row of the longest prefix; UNREAD without one."""
    while path:
        if path in MEANINGS:
            return MEANINGS[path]
        path = path.rpartition(".")[0]
    return UNREAD


# Harvested constants whose key stands inside a block, by the beginning of the constant's name.
_INSIDE = {
    "SPARSE_": "sparse_attention",
    "EIGENVALUE_": "eigenvalue",
    "PLD_": "progressive_layer_drop",
    "TORCH_AUTOCAST_": "torch_autocast",
    "BFLOAT16_": "bf16",
    "FP16_": "fp16",
    "CHECKPOINT_PARALLEL_WRITE_": "checkpoint.parallel_write",
    "CHECKPOINT_TAG_": "checkpoint",
    "LOAD_UNIVERSAL_": "checkpoint",
    "USE_NODE_LOCAL_STORAGE_": "checkpoint",
    "GRAD_ACCUM_DTYPE": "data_types",
    "PARAM_DTYPE": "data_types",
    "BUFFER_DTYPE": "data_types",
    "KEEP_IN_FP32_": "data_types",
    "LEGACY_FUSION": "optimizer",
}


def place_of(row: Mapping[str, Any]) -> str:
    """The path of a harvested constant: `checkpoint.load_universal` for LOAD_UNIVERSAL_CHECKPOINT."""
    constant, name = str(row["constant"]), str(row["name"])
    if constant == "SPARSE_GRADIENTS":
        return name
    block = next((block for start, block in _INSIDE.items() if constant.startswith(start)), "")
    return f"{block}.{name}" if block else name
