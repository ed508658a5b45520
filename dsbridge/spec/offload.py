"""Where ZeRO keeps what does not fit on the GPU: host memory and NVMe."""

from __future__ import annotations

from dsbridge.spec.kinds import Boolean, Choice, Integer, Number, Text
from dsbridge.spec.setting import Part, setting
from dsbridge.values import Setting

DEVICES = ("none", "cpu", "nvme")


class OffloadOptimizer(Part):
    """Where optimizer states live between steps."""

    device: Setting[str] = setting(
        Choice(options=DEVICES),
        "Where the optimizer states are kept: none (the GPU), cpu or nvme.",
        "zero_optimization.offload_optimizer.device",
        "deepspeed/runtime/zero/offload_config.py",
    )
    nvme_path: Setting[str] = setting(
        Text(),
        "Folder on the NVMe drive, the same on every node; needed for device nvme.",
        "zero_optimization.offload_optimizer.nvme_path",
        "deepspeed/runtime/zero/offload_config.py",
    )
    pin_memory: Setting[bool] = setting(
        Boolean(),
        "Keep the host copies in page-locked memory: faster, and never swapped out.",
        "zero_optimization.offload_optimizer.pin_memory",
        "deepspeed/runtime/zero/offload_config.py",
    )
    buffer_count: Setting[int] = setting(
        Integer(least=0),
        "Host buffers for swapping; at least the states a parameter has (4 for Adam).",
        "zero_optimization.offload_optimizer.buffer_count",
        "deepspeed/runtime/zero/offload_config.py",
    )
    pipeline_read: Setting[bool] = setting(
        Boolean(),
        "Read the next tile from NVMe while the current one is computed.",
        "zero_optimization.offload_optimizer.pipeline_read",
        "deepspeed/runtime/zero/offload_config.py",
    )
    pipeline_write: Setting[bool] = setting(
        Boolean(),
        "Write the previous tile to NVMe while the current one is computed.",
        "zero_optimization.offload_optimizer.pipeline_write",
        "deepspeed/runtime/zero/offload_config.py",
    )
    fast_init: Setting[bool] = setting(
        Boolean(),
        "Initialise faster when the states go to NVMe.",
        "zero_optimization.offload_optimizer.fast_init",
        "deepspeed/runtime/zero/offload_config.py",
    )
    ratio: Setting[float] = setting(
        Number(least=0, most=1),
        "Share of the parameters that step on the CPU, 0 to 1; ZeRO-3 only.",
        "zero_optimization.offload_optimizer.ratio",
        "deepspeed/runtime/zero/offload_config.py",
    )
    super_offload: Setting[bool] = setting(
        Boolean(),
        "SuperOffload, made for hosts with a fast link to the GPU.",
        "zero_optimization.offload_optimizer.super_offload",
        "deepspeed/runtime/zero/offload_config.py",
    )
    cpuadam_cores_perc: Setting[float] = setting(
        Number(least=0, most=1),
        "Share of the CPU cores that SuperOffload's Adam uses, 0 to 1.",
        "zero_optimization.offload_optimizer.cpuadam_cores_perc",
        "deepspeed/runtime/zero/offload_config.py",
    )


class OffloadParam(Part):
    """Where ZeRO-3 keeps parameters that no layer needs at the moment."""

    device: Setting[str] = setting(
        Choice(options=DEVICES),
        "Where the parameters are kept: none (the GPU), cpu or nvme. ZeRO-3 only.",
        "zero_optimization.offload_param.device",
        "deepspeed/runtime/zero/offload_config.py",
    )
    nvme_path: Setting[str] = setting(
        Text(),
        "Folder on the NVMe drive, the same on every node; needed for device nvme.",
        "zero_optimization.offload_param.nvme_path",
        "deepspeed/runtime/zero/offload_config.py",
    )
    pin_memory: Setting[bool] = setting(
        Boolean(),
        "Keep the host copies in page-locked memory.",
        "zero_optimization.offload_param.pin_memory",
        "deepspeed/runtime/zero/offload_config.py",
    )
    buffer_count: Setting[int] = setting(
        Integer(least=0),
        "Host buffers for parameters on their way from NVMe.",
        "zero_optimization.offload_param.buffer_count",
        "deepspeed/runtime/zero/offload_config.py",
    )
    buffer_size: Setting[int] = setting(
        Integer(least=0),
        "Size of one such buffer, in elements.",
        "zero_optimization.offload_param.buffer_size",
        "deepspeed/runtime/zero/offload_config.py",
    )
    max_in_cpu: Setting[int] = setting(
        Integer(least=0),
        "Elements that stay in host memory when the rest goes to NVMe.",
        "zero_optimization.offload_param.max_in_cpu",
        "deepspeed/runtime/zero/offload_config.py",
    )


class Aio(Part):
    """DeepSpeed's asynchronous NVMe input and output."""

    block_size: Setting[int] = setting(
        Integer(least=1),
        "Bytes of one read or write.",
        "aio.block_size",
        "deepspeed/runtime/swap_tensor/constants.py",
    )
    queue_depth: Setting[int] = setting(
        Integer(least=1),
        "Requests in flight for a thread.",
        "aio.queue_depth",
        "deepspeed/runtime/swap_tensor/constants.py",
    )
    intra_op_parallelism: Setting[int] = setting(
        Integer(least=1),
        "Threads that share one request; DeepSpeed 0.16 says thread_count.",
        "aio.intra_op_parallelism",
        "deepspeed/runtime/swap_tensor/constants.py",
    )
    thread_count: Setting[int] = setting(
        Integer(least=1),
        "The name of intra_op_parallelism in DeepSpeed 0.16.",
        "aio.thread_count",
        "deepspeed/runtime/swap_tensor/constants.py",
    )
    single_submit: Setting[bool] = setting(
        Boolean(),
        "Submit requests one by one instead of in batches.",
        "aio.single_submit",
        "deepspeed/runtime/swap_tensor/constants.py",
    )
    overlap_events: Setting[bool] = setting(
        Boolean(),
        "Submit while waiting for requests to complete.",
        "aio.overlap_events",
        "deepspeed/runtime/swap_tensor/constants.py",
    )
    use_gds: Setting[bool] = setting(
        Boolean(),
        "NVIDIA GPUDirect Storage: NVMe to GPU without the host.",
        "aio.use_gds",
        "deepspeed/runtime/swap_tensor/constants.py",
    )
