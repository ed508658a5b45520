"""One factor at a time: top-level scalars, small blocks, what versions took out, how the text is written."""

from __future__ import annotations

from typing import Any

from conformance.oracle.cases._deepspeed_files import GONE

Changes = dict[str, Any]

SCALARS: dict[str, Changes] = {
    "clip": {"gradient_clipping": 0.5},
    "clip-zero": {"gradient_clipping": 0.0},
    "clip-auto": {"gradient_clipping": "auto"},
    "clip-null": {"gradient_clipping": None},
    "clip-negative": {"gradient_clipping": -1},
    "unknown-key": {"gradient_clip": 1.0, "_comment": "ours"},
    "unknown-auto": {"whatever": "auto"},
    "steps-per-print-auto": {"steps_per_print": "auto"},
    "steps-per-print": {"steps_per_print": 10},
    "steps-per-print-zero": {"steps_per_print": 0},
    "wall-clock": {"wall_clock_breakdown": True},
    "wall-clock-auto": {"wall_clock_breakdown": "auto"},
    "wall-clock-null": {"wall_clock_breakdown": None},
    "comm-fp32": {"communication_data_type": "fp32"},
    "comm-upper": {"communication_data_type": "BF16"},
    "comm-wrong": {"communication_data_type": "float8"},
    "comm-auto": {"communication_data_type": "auto"},
    "comm-number": {"communication_data_type": 16},
    "seq-comm-wrong": {"seq_parallel_communication_data_type": "int8"},
    "prescale": {"prescale_gradients": True, "gradient_predivide_factor": 2.0},
    "allreduce-sum": {"gradient_allreduce_op": "sum"},
    "allreduce-wrong": {"gradient_allreduce_op": "max"},
    "unmanaged": {"managed_gradient_accumulation": False},
    "force-cpu-auto": {"zero_force_ds_cpu_optimizer": "auto"},
    "dump-state": {"dump_state": True},
    "vocabulary": {"vocabulary_size": 32001},
    "vocabulary-text": {"vocabulary_size": "large"},
    "log-level-wrong": {"log_level": "loud"},
    "sequence-parallel-file": {"sequence_parallel_size": 2},
    "sequence-and-data": {"sequence_parallel_size": 2, "data_parallel_size": 1},
    "sequence-and-data-wrong": {"sequence_parallel_size": 2, "data_parallel_size": 2},
}

BLOCKS: dict[str, Changes] = {
    "activation-checkpointing": {"activation_checkpointing": {"partition_activations": "auto"}},
    "activation-checkpointing-null": {"activation_checkpointing": None},
    "comms-logger": {"comms_logger": {"enabled": False, "verbose": False}},
    "comms-logger-unknown": {"comms_logger": {"enabled": False, "foo": 1}},
    "tensorboard-unknown": {"tensorboard": {"enabled": False, "path": "x"}},
    "tensorboard-false": {"tensorboard": False},
    "csv": {"csv_monitor": {"enabled": False, "output_path": "logs"}},
    "flops": {"flops_profiler": {"enabled": False, "detailed": True}},
    "flops-auto": {"flops_profiler": {"enabled": "auto"}},
    "flops-null": {"flops_profiler": None},
    "checkpoint": {"checkpoint": {"tag_validation": "Ignore", "load_universal": True}},
    "checkpoint-wrong": {"checkpoint": {"tag_validation": "never"}},
    "checkpoint-auto": {"checkpoint": {"parallel_write": {"pipeline_stage": "auto"}}},
    "checkpoint-null": {"checkpoint": None},
    "data-types-null": {"data_types": None},
    "aio": {"aio": {"block_size": 1048576, "queue_depth": 8}},
    "aio-unknown": {"aio": {"foo": 1}},
    "hybrid-off": {"hybrid_engine": {"enabled": False, "max_out_tokens": 0}},
    "hybrid-unknown": {"hybrid_engine": {"enabled": False, "foo": 1}},
    "compile-unknown": {"compile": {"enabled": True}},
    "timers": {"timers": {"throughput": {"enabled": "no", "synchronized": 2}}},
    "pipeline": {"pipeline": {"stages": 2}},
    "data-efficiency": {"data_efficiency": {"enabled": False}},
    "autotuning-empty": {"autotuning": {"enabled": False, "results_dir": ""}},
    "keep-fp32-wrong": {"data_types": {"keep_in_fp32_modules": "norm"}},
    "expert-parallel-off": {"expert_parallel": {"enabled": False}},
    "fp16-and-zero-wrong": {"fp16": {"enabled": True}, "zero_optimization.stage": 7},
    "removed-and-zero-wrong": {"sparse_gradients": False, "zero_optimization.stage": 7},
    "zero-and-batch-wrong": {"zero_optimization.foo": 1, "train_batch_size": 99},
    "batch-and-optimizer-wrong": {"train_batch_size": 99, "optimizer.type": "AdamX"},
    "fp16-and-batch-wrong": {"fp16": {"enabled": True}, "train_batch_size": 99},
    "scheduler-and-optimizer-wrong": {"optimizer.type": "AdamX", "scheduler": {"type": "Foo"}},
}

# Blocks that are no mappings, and values inside them of a wrong type.
KINDS: dict[str, Changes] = {
    **{
        f"{name}-null": {name: None}
        for name in (
            *("pipeline", "hybrid_engine", "compile", "comms_logger", "fp16", "torch_autocast", "timers"),
            *("autotuning", "data_efficiency", "expert_parallel", "csv_monitor", "elasticity", "aio"),
        )
    },
    "aio-word": {"aio": "fast"},
    "zero-number-key": {"zero_optimization.sub_group_size": "1e9"},
    "tag-number": {"checkpoint": {"tag_validation": 1}},
    "parallel-write-null": {"checkpoint": {"parallel_write": None}},
    "seq-comm-number": {"seq_parallel_communication_data_type": 16},
    "optimizer-type-number": {"optimizer.type": 1},
    "optimizer-params-word": {"optimizer.params": "lr=1e-4"},
    "optimizer-clip-auto": {"optimizer.params.max_grad_norm": "auto"},
    "optimizer-clip-null": {"optimizer.params.max_grad_norm": None},
    "scheduler-word": {"scheduler": "WarmupLR"},
    "scheduler-type-number": {"scheduler": {"type": 3, "params": {}}},
    "flops-list": {"flops_profiler": []},
    "data-types-list": {"data_types": []},
    "param-dtype": {"data_types": {"param_dtype": "fp32"}},
    "buffer-dtype-wrong": {"data_types": {"buffer_dtype": "float8"}},
}

REMOVED: dict[str, Changes] = {
    "sparse-gradients": {"sparse_gradients": False},
    "nebula": {"nebula": {"enabled": False}},
    "curriculum": {"curriculum_learning": {"enabled": False}},
    "progressive-layer-drop": {"progressive_layer_drop": {"enabled": False, "theta": 0.5}},
    "eigenvalue": {"eigenvalue": {"enabled": False}},
    "quantize-training": {"quantize_training": {"enabled": False}},
    "compression": {"compression_training": {}},
    "compression-no-groups": {
        "compression_training": {
            "weight_quantization": {"shared_parameters": {"enabled": False}, "different_groups": {}},
            "row_pruning": {"shared_parameters": {"enabled": False}},
        },
    },
    "sparse-attention": {"sparse_attention": {"mode": "fixed"}},
    "sparse-attention-wrong": {"sparse_attention": {"mode": "diagonal"}},
    "graph-harvesting": {"graph_harvesting": False},
    "elasticity-off": {"elasticity": {"enabled": False}},
    "elasticity": {
        "elasticity": {
            "enabled": True,
            "max_train_batch_size": 32,
            "micro_batch_sizes": [2, 4],
            "min_gpus": 1,
            "max_gpus": 8,
            "min_time": 0,
            "version": 0.1,
        },
        "train_micro_batch_size_per_gpu": GONE,
        "gradient_accumulation_steps": GONE,
    },
    "elasticity-and-batch": {
        "elasticity": {
            "enabled": True,
            "max_train_batch_size": 32,
            "micro_batch_sizes": [2, 4],
            "version": 0.1,
        },
    },
    "elasticity-no-max": {"elasticity": {"enabled": True, "micro_batch_sizes": [2]}},
    "loco": {"zero_optimization.zeropp_loco_param": {"err_beta": 0.8, "reset_T": 1024}},
}

TENSOR_PARALLEL: dict[str, Changes] = {
    "two": {"tensor_parallel": {"autotp_size": 2}},
    "two-stage-1": {"tensor_parallel": {"autotp_size": 2}, "zero_optimization.stage": 1},
    "two-stage-3": {"tensor_parallel": {"autotp_size": 2}, "zero_optimization.stage": 3},
    "two-total": {"tensor_parallel": {"autotp_size": 2}, "train_batch_size": 4},
    "one": {"tensor_parallel": {"autotp_size": 1}},
    "auto": {"tensor_parallel": {"autotp_size": "auto"}},
    "text": {"tensor_parallel": {"autotp_size": "2"}},
    "three": {"tensor_parallel": {"autotp_size": 3}},
    "wrong-form": {"tensor_parallel": {"enabled": True, "tp_size": 2}},
    "inner": {"tensor_parallel": {"autotp_size": 2, "tp": {"tp_size": 2, "tp_grain_size": 64}}},
    "null": {"tensor_parallel": None},
}

# Name, and the text of ds.json.
TEXTS: dict[str, str] = {
    "comments": """\
{
  // micro batch of one GPU
  "train_micro_batch_size_per_gpu": 2,
  # hjson takes this too
  "zero_optimization": {"stage": 2}, /* and this */
  "optimizer": {"type": "AdamW", "params": {"lr": 1e-4}},
}
""",
    "no-commas": """\
{
  train_micro_batch_size_per_gpu: 2
  zero_optimization: {
    stage: 1
    overlap_comm: true
  }
  optimizer: {type: "AdamW", params: {lr: 0.0001}}
}
""",
    "no-braces": "train_micro_batch_size_per_gpu: 2\nzero_optimization: {stage: 0}\n",
    "placeholder": """\
{
  "train_micro_batch_size_per_gpu": MICRO_BATCH_SIZE,
  "zero_optimization": {"stage": 2}
}
""",
    "missing-comma": """\
{
  "train_micro_batch_size_per_gpu": 2
  "gradient_accumulation_steps": 4
}
""",
    "quoteless-comma": '{\n  "train_micro_batch_size_per_gpu": 2,\n  "communication_data_type": fp32,\n}\n',
    "duplicate": '{"train_batch_size": 8, "train_batch_size": 4, "zero_optimization": {"stage": 1}}',
    "duplicate-inside": '{"train_batch_size": 8, "zero_optimization": {"stage": 1, "stage": 2}}',
    "unclosed": '{"train_batch_size": 8, "zero_optimization": {"stage": 1}',
    "extra-brace": '{"train_batch_size": 8}}',
    "empty": "",
    "list": '[{"train_batch_size": 8}]',
    "string": '"train_batch_size"',
    "null": "null",
    "bom": '\ufeff{"train_batch_size": 8}',
    "python-words": '{"train_batch_size": 8, "bf16": {"enabled": True}}',
    "single-quotes": "{'train_batch_size': 8, 'zero_optimization': {'stage': 1}}",
    "not-a-number": '{"train_batch_size": 8, "gradient_clipping": NaN}',
    "infinity": '{"train_batch_size": 8, "steps_per_print": Infinity}',
    "hex": '{"train_batch_size": 0x8}',
    "leading-zero": '{"train_batch_size": 08}',
    "triple-quotes": "{\n  train_batch_size: 8\n  note: '''\n    for us\n    alone\n  '''\n}\n",
}
