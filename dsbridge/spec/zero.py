"""ZeRO: the words of DeepSpeed's `zero_optimization`."""

from __future__ import annotations

from typing import Any

from dsbridge.spec.kinds import Boolean, Choice, Integer, ListOf, Mapping_
from dsbridge.spec.offload import OffloadOptimizer, OffloadParam
from dsbridge.spec.setting import Part, section, setting
from dsbridge.values import Option, Setting


class LeafModule(Part):
    """Modules whose parameters ZeRO-3 fetches in one piece, as MoE blocks need."""

    classes: Setting[tuple[str, ...]] = setting(
        ListOf(),
        "Class names of the leaf modules.",
        "zero_optimization.leaf_module.classes",
        "deepspeed/runtime/zero/leaf_module_config.py",
    )
    names: Setting[tuple[str, ...]] = setting(
        ListOf(),
        "Qualified names of the leaf modules.",
        "zero_optimization.leaf_module.names",
        "deepspeed/runtime/zero/leaf_module_config.py",
    )
    name_suffixes: Setting[tuple[str, ...]] = setting(
        ListOf(),
        "Ends of the qualified names of the leaf modules.",
        "zero_optimization.leaf_module.name_suffixes",
        "deepspeed/runtime/zero/leaf_module_config.py",
    )


class Zero(Part):
    """DeepSpeed ZeRO: what is partitioned over the data-parallel ranks, and how."""

    stage: Setting[int] = setting(
        Choice(options=(0, 1, 2, 3)),
        "What is partitioned: 0 nothing, 1 optimizer states, 2 gradients too, 3 parameters too.",
        "zero_optimization.stage",
        "deepspeed/runtime/zero/config.py",
    )
    offload_optimizer: OffloadOptimizer = section(OffloadOptimizer, "Optimizer states off the GPU.")
    offload_param: OffloadParam = section(OffloadParam, "Parameters off the GPU (ZeRO-3).")
    contiguous_gradients: Setting[bool] = setting(
        Boolean(),
        "Copy gradients to one buffer as they are made, against fragmentation.",
        "zero_optimization.contiguous_gradients",
        "deepspeed/runtime/zero/config.py",
    )
    reduce_scatter: Setting[bool] = setting(
        Boolean(),
        "Average gradients by reduce-scatter instead of all-reduce.",
        "zero_optimization.reduce_scatter",
        "deepspeed/runtime/zero/config.py",
    )
    reduce_bucket_size: Setting[int] = setting(
        Integer(least=1),
        "Elements reduced at a time; more is faster and takes more memory.",
        "zero_optimization.reduce_bucket_size",
        "deepspeed/runtime/zero/config.py",
    )
    use_multi_rank_bucket_allreduce: Setting[bool] = setting(
        Boolean(),
        "Merge the reduce buckets of several ranks into one all-reduce.",
        "zero_optimization.use_multi_rank_bucket_allreduce",
        "deepspeed/runtime/zero/config.py",
    )
    allgather_partitions: Setting[bool] = setting(
        Boolean(),
        "Collect updated parameters by all-gather instead of broadcasts.",
        "zero_optimization.allgather_partitions",
        "deepspeed/runtime/zero/config.py",
    )
    allgather_bucket_size: Setting[int] = setting(
        Integer(least=0),
        "Elements gathered at a time.",
        "zero_optimization.allgather_bucket_size",
        "deepspeed/runtime/zero/config.py",
    )
    overlap_comm: Setting[bool] = setting(
        Boolean(),
        "Reduce gradients while the backward pass goes on; 4.5 times the bucket memory.",
        "zero_optimization.overlap_comm",
        "deepspeed/runtime/zero/config.py",
    )
    load_from_fp32_weights: Setting[bool] = setting(
        Boolean(),
        "Take the fp32 master weights from the checkpoint, not from its 16-bit copy.",
        "zero_optimization.load_from_fp32_weights",
        "deepspeed/runtime/zero/config.py",
    )
    elastic_checkpoint: Setting[bool] = setting(
        Boolean(),
        "Checkpoints that another data-parallel size can load (ZeRO-1 and 2, older DeepSpeed).",
        "zero_optimization.elastic_checkpoint",
        "deepspeed/runtime/zero/config.py",
    )
    sub_group_size: Setting[int] = setting(
        Integer(least=0),
        "Elements of one optimizer tile (ZeRO-3); smaller needs less memory in the step.",
        "zero_optimization.sub_group_size",
        "deepspeed/runtime/zero/config.py",
    )
    stage3_prefetch_bucket_size: Setting[int] = setting(
        Integer(least=0),
        "Elements fetched ahead of their use (ZeRO-3).",
        "zero_optimization.stage3_prefetch_bucket_size",
        "deepspeed/runtime/zero/config.py",
    )
    stage3_param_persistence_threshold: Setting[int] = setting(
        Integer(least=0),
        "Parameters with fewer elements are never partitioned (ZeRO-3).",
        "zero_optimization.stage3_param_persistence_threshold",
        "deepspeed/runtime/zero/config.py",
    )
    stage3_model_persistence_threshold: Setting[int] = setting(
        Integer(least=0),
        "Elements that may stay unpartitioned in the whole model (ZeRO-3).",
        "zero_optimization.stage3_model_persistence_threshold",
        "deepspeed/runtime/zero/config.py",
    )
    stage3_max_live_parameters: Setting[int] = setting(
        Integer(least=0),
        "Elements that may be on a GPU at once before release (ZeRO-3).",
        "zero_optimization.stage3_max_live_parameters",
        "deepspeed/runtime/zero/config.py",
    )
    stage3_max_reuse_distance: Setting[int] = setting(
        Integer(least=0),
        "Keep a parameter if it is needed again within so many elements (ZeRO-3).",
        "zero_optimization.stage3_max_reuse_distance",
        "deepspeed/runtime/zero/config.py",
    )
    stage3_module_granularity_threshold: Setting[int] = setting(
        Integer(least=0),
        "Fetch modules of smaller granularity as one unit (ZeRO-3).",
        "zero_optimization.stage3_module_granularity_threshold",
        "deepspeed/runtime/zero/config.py",
    )
    stage3_use_all_reduce_for_fetch_params: Setting[bool] = setting(
        Boolean(),
        "Fetch parameters by all-reduce instead of all-gather (ZeRO-3).",
        "zero_optimization.stage3_use_all_reduce_for_fetch_params",
        "deepspeed/runtime/zero/config.py",
    )
    stage3_allgather_sequential: Setting[bool] = setting(
        Boolean(),
        "Gather one parameter after the other instead of in one call (ZeRO-3).",
        "zero_optimization.stage3_allgather_sequential",
        "deepspeed/runtime/zero/config.py",
    )
    ignore_unused_parameters: Setting[bool] = setting(
        Boolean(),
        "Allow parameters that get no gradient (ZeRO-2).",
        "zero_optimization.ignore_unused_parameters",
        "deepspeed/runtime/zero/config.py",
    )
    legacy_stage1: Setting[bool] = setting(
        Boolean(),
        "The first implementation of stage 1.",
        "zero_optimization.legacy_stage1",
        "deepspeed/runtime/zero/config.py",
    )
    round_robin_gradients: Setting[bool] = setting(
        Boolean(),
        "Share the copying of gradients among ranks under CPU offload (ZeRO-1 and 2).",
        "zero_optimization.round_robin_gradients",
        "deepspeed/runtime/zero/config.py",
    )
    parameter_alignment: Setting[bool] = setting(
        Boolean(),
        "Align the partitions of parameters.",
        "zero_optimization.parameter_alignment",
        "deepspeed/runtime/zero/config.py",
    )
    zero_hpz_partition_size: Setting[int] = setting(
        Integer(least=0),
        "ZeRO++: ranks of a secondary partition, normally the GPUs of a node.",
        "zero_optimization.zero_hpz_partition_size",
        "deepspeed/runtime/zero/config.py",
    )
    zero_quantized_weights: Setting[bool] = setting(
        Boolean(),
        "ZeRO++: gather weights as int8.",
        "zero_optimization.zero_quantized_weights",
        "deepspeed/runtime/zero/config.py",
    )
    zero_quantized_nontrainable_weights: Setting[bool] = setting(
        Boolean(),
        "ZeRO++: gather frozen weights as int8.",
        "zero_optimization.zero_quantized_nontrainable_weights",
        "deepspeed/runtime/zero/config.py",
    )
    zero_quantized_gradients: Setting[bool] = setting(
        Boolean(),
        "ZeRO++: reduce gradients as int4, all-to-all.",
        "zero_optimization.zero_quantized_gradients",
        "deepspeed/runtime/zero/config.py",
    )
    zeropp_loco_param: Option[dict[str, Any]] = setting(
        Mapping_(),
        "ZeRO++: LoCo's error feedback for quantised gradients, passed on as it is.",
        "zero_optimization.zeropp_loco_param",
        "deepspeed/runtime/zero/config.py",
    )
    mics_shard_size: Setting[int] = setting(
        Integer(least=1),
        "MiCS: ranks among which a copy of the model is partitioned.",
        "zero_optimization.mics_shard_size",
        "deepspeed/runtime/zero/config.py",
    )
    mics_hierarchical_params_gather: Setting[bool] = setting(
        Boolean(),
        "MiCS: gather inside the node first.",
        "zero_optimization.mics_hierarchical_params_gather",
        "deepspeed/runtime/zero/config.py",
    )
    memory_efficient_linear: Setting[bool] = setting(
        Boolean(),
        "A linear layer that keeps no gathered weight for the backward pass (ZeRO-3).",
        "zero_optimization.memory_efficient_linear",
        "deepspeed/runtime/zero/config.py",
    )
    pipeline_loading_checkpoint: Setting[bool] = setting(
        Boolean(),
        "Overlap the reading of checkpoint files with their loading (ZeRO-3).",
        "zero_optimization.pipeline_loading_checkpoint",
        "deepspeed/runtime/zero/config.py",
    )
    override_module_apply: Setting[bool] = setting(
        Boolean(),
        "Let zero.Init change Module.apply, so that initialisers see whole parameters.",
        "zero_optimization.override_module_apply",
        "deepspeed/runtime/zero/config.py",
    )
    log_trace_cache_warnings: Setting[bool] = setting(
        Boolean(),
        "Warn when the order of the modules changes between steps (ZeRO-3).",
        "zero_optimization.log_trace_cache_warnings",
        "deepspeed/runtime/zero/config.py",
    )
    enable_sanity_checks: Setting[bool] = setting(
        Boolean(),
        "Compare the ranks' metadata before collectives (ZeRO-3, slow).",
        "zero_optimization.enable_sanity_checks",
        "deepspeed/runtime/zero/config.py",
    )
    compute_grad_norm: Setting[bool] = setting(
        Boolean(),
        "Compute the global gradient norm even when nothing clips.",
        "zero_optimization.compute_grad_norm",
        "deepspeed/runtime/zero/config.py",
    )
    save_muon_momentum_buffer_in_memory: Setting[bool] = setting(
        Boolean(),
        "Keep Muon's momentum on the GPU under offload.",
        "zero_optimization.save_muon_momentum_buffer_in_memory",
        "deepspeed/runtime/zero/config.py",
    )
    leaf_module: LeafModule = section(LeafModule, "Modules that are fetched whole (ZeRO-3).")
    zenflow: Option[dict[str, Any]] = setting(
        Mapping_(),
        "ZenFlow's block, passed on as it is: asynchronous offloaded updates.",
        "zero_optimization.zenflow",
        "deepspeed/runtime/zero/config.py",
    )
    allow_untested_optimizer: Setting[bool] = setting(
        Boolean(),
        "Let ZeRO run an optimizer that DeepSpeed has not tested with it.",
        "zero_allow_untested_optimizer",
        "deepspeed/runtime/config.py",
    )
    force_ds_cpu_optimizer: Setting[bool] = setting(
        Boolean(),
        "Insist on DeepSpeed's CPU Adam when the optimizer is offloaded.",
        "zero_force_ds_cpu_optimizer",
        "deepspeed/runtime/config.py",
    )
    init_on_load: Option[bool] = setting(
        Boolean(auto=False),
        "Build the model partitioned under zero.Init (Accelerate's zero3_init_flag).",
        "",
        "accelerate/utils/dataclasses.py",
    )
