"""PyTorch FSDP, version 1 and 2: instead of ZeRO, never beside it."""

from __future__ import annotations

from dsbridge.spec.kinds import Boolean, Choice, Integer, ListOf
from dsbridge.spec.setting import Part, setting
from dsbridge.values import Option


class Fsdp(Part):
    """Fully sharded data parallelism, in Accelerate's and PyTorch's words."""

    version: Option[int] = setting(
        Choice(auto=False, options=(1, 2)),
        "FSDP 1 (FullyShardedDataParallel) or FSDP 2 (fully_shard).",
        "",
        "accelerate/utils/dataclasses.py FullyShardedDataParallelPlugin",
    )
    sharding: Option[str] = setting(
        Choice(
            auto=False,
            options=(
                "full_shard",
                "shard_grad_op",
                "no_shard",
                "hybrid_shard",
                "hybrid_shard_zero2",
            ),
        ),
        "What is sharded: full_shard as ZeRO-3, shard_grad_op as ZeRO-2, no_shard as DDP, hybrid in a node.",
        "",
        "accelerate/utils/dataclasses.py FullyShardedDataParallelPlugin",
    )
    offload_params: Option[bool] = setting(
        Boolean(auto=False),
        "Keep parameters and gradients in host memory.",
        "",
        "accelerate/utils/dataclasses.py FullyShardedDataParallelPlugin",
    )
    auto_wrap: Option[str] = setting(
        Choice(auto=False, options=("transformer", "size", "none")),
        "How modules are grouped into units: by layer class, by size, or not.",
        "",
        "accelerate/utils/dataclasses.py FullyShardedDataParallelPlugin",
    )
    transformer_layer_cls: Option[tuple[str, ...]] = setting(
        ListOf(auto=False),
        "Layer classes that form a unit each; the model's own if not given.",
        "",
        "accelerate/utils/dataclasses.py FullyShardedDataParallelPlugin",
    )
    min_num_params: Option[int] = setting(
        Integer(auto=False, least=0),
        "Parameters from which a module is a unit, with auto_wrap size.",
        "",
        "accelerate/utils/dataclasses.py FullyShardedDataParallelPlugin",
    )
    reshard_after_forward: Option[bool] = setting(
        Boolean(auto=False),
        "Free gathered parameters after the forward pass (FSDP 2; FSDP 1 says it by sharding).",
        "",
        "accelerate/utils/dataclasses.py FullyShardedDataParallelPlugin",
    )
    backward_prefetch: Option[str] = setting(
        Choice(auto=False, options=("backward_pre", "backward_post", "no_prefetch")),
        "When the next unit is gathered in the backward pass (FSDP 1).",
        "",
        "accelerate/utils/dataclasses.py FullyShardedDataParallelPlugin",
    )
    forward_prefetch: Option[bool] = setting(
        Boolean(auto=False),
        "Gather the next unit before the forward pass needs it (FSDP 1).",
        "",
        "accelerate/utils/dataclasses.py FullyShardedDataParallelPlugin",
    )
    use_orig_params: Option[bool] = setting(
        Boolean(auto=False),
        "Keep the original parameters visible, as LoRA needs (FSDP 1; always so in FSDP 2).",
        "",
        "accelerate/utils/dataclasses.py FullyShardedDataParallelPlugin",
    )
    sync_module_states: Option[bool] = setting(
        Boolean(auto=False),
        "Send rank 0's weights to the others at the start (FSDP 1).",
        "",
        "accelerate/utils/dataclasses.py FullyShardedDataParallelPlugin",
    )
    cpu_ram_efficient_loading: Option[bool] = setting(
        Boolean(auto=False),
        "Load the checkpoint on the first rank of a node only.",
        "",
        "accelerate/utils/dataclasses.py FullyShardedDataParallelPlugin",
    )
    state_dict_type: Option[str] = setting(
        Choice(auto=False, options=("full_state_dict", "sharded_state_dict", "local_state_dict")),
        "What a checkpoint holds: whole tensors or each rank's shards.",
        "",
        "accelerate/utils/dataclasses.py FullyShardedDataParallelPlugin",
    )
    activation_checkpointing: Option[bool] = setting(
        Boolean(auto=False),
        "Checkpoint the activations of each unit.",
        "",
        "accelerate/utils/dataclasses.py FullyShardedDataParallelPlugin",
    )
