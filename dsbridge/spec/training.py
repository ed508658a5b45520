"""Length of training, and what is written on the way."""

from __future__ import annotations

from dsbridge.spec.kinds import Boolean, Choice, Integer, Number, Text
from dsbridge.spec.setting import Part, setting
from dsbridge.values import Option, Setting


class Training(Part):
    """Length of the run, saving and logging."""

    epochs: Option[float] = setting(
        Number(auto=False, least=0), "Passes over the data.", "", "transformers/training_args.py"
    )
    max_steps: Option[int] = setting(
        Integer(auto=False),
        "Optimizer steps; beats epochs when positive, -1 for none.",
        "",
        "transformers/training_args.py",
    )
    sequence_length: Option[int] = setting(
        Integer(auto=False, least=1),
        "Tokens of a sample at most.",
        "",
        "transformers/training_args.py",
    )
    packing: Option[bool] = setting(
        Boolean(auto=False),
        "Fill a sample with several short texts.",
        "",
        "transformers/training_args.py",
    )
    gradient_checkpointing: Option[bool] = setting(
        Boolean(auto=False),
        "Recompute activations in the backward pass.",
        "",
        "transformers/training_args.py",
    )
    seed: Option[int] = setting(
        Integer(auto=False, least=0, most=2**32 - 1),  # numpy.random.seed takes no more
        "Seed of all random numbers.",
        "",
        "transformers/training_args.py",
    )
    output_dir: Option[str] = setting(
        Text(auto=False), "Folder for checkpoints and logs.", "", "transformers/training_args.py"
    )
    save_steps: Option[int] = setting(
        Integer(auto=False, least=1),
        "Optimizer steps between checkpoints.",
        "",
        "transformers/training_args.py",
    )
    save_total_limit: Option[int] = setting(
        Integer(auto=False, least=1), "Checkpoints kept.", "", "transformers/training_args.py"
    )
    logging_steps: Option[int] = setting(
        Integer(auto=False, least=1),
        "Optimizer steps between log lines.",
        "",
        "transformers/training_args.py",
    )
    eval_steps: Option[int] = setting(
        Integer(auto=False, least=1),
        "Optimizer steps between evaluations.",
        "",
        "transformers/training_args.py",
    )
    dataloader_num_workers: Option[int] = setting(
        Integer(auto=False, least=0),
        "Processes that load data, for a rank.",
        "",
        "transformers/training_args.py",
    )


class Checkpoint(Part):
    """What a checkpoint holds."""

    universal: Setting[bool] = setting(
        Boolean(),
        "Load a universal checkpoint, which fits any layout.",
        "checkpoint.load_universal",
        "deepspeed/runtime/config.py",
    )
    gather_16bit_weights: Setting[bool] = setting(
        Boolean(),
        "ZeRO-3: gather the 16-bit weights on rank 0 when saving the model.",
        "zero_optimization.stage3_gather_16bit_weights_on_model_save",
        "deepspeed/runtime/zero/config.py",
    )
    save_on_each_node: Setting[bool] = setting(
        Boolean(),
        "Write to every node's own disk, not to a shared one.",
        "checkpoint.use_node_local_storage",
        "deepspeed/runtime/config.py",
    )
    tag_validation: Setting[str] = setting(
        Choice(options=("ignore", "warn", "fail")),
        "What happens when ranks disagree about a checkpoint's tag.",
        "checkpoint.tag_validation",
        "deepspeed/runtime/config.py",
    )


class ActivationCheckpointing(Part):
    """DeepSpeed's own activation checkpointing; works only where the model calls it."""

    partition_activations: Setting[bool] = setting(
        Boolean(),
        "Share the checkpoints among model-parallel ranks.",
        "activation_checkpointing.partition_activations",
        "deepspeed/runtime/activation_checkpointing/config.py",
    )
    cpu_checkpointing: Setting[bool] = setting(
        Boolean(),
        "Keep them in host memory; needs partition_activations.",
        "activation_checkpointing.cpu_checkpointing",
        "deepspeed/runtime/activation_checkpointing/config.py",
    )
    contiguous_memory_optimization: Setting[bool] = setting(
        Boolean(),
        "Copy them to one buffer; needs number_checkpoints.",
        "activation_checkpointing.contiguous_memory_optimization",
        "deepspeed/runtime/activation_checkpointing/config.py",
    )
    number_checkpoints: Setting[int] = setting(
        Integer(least=1),
        "Checkpoints in a forward pass.",
        "activation_checkpointing.number_checkpoints",
        "deepspeed/runtime/activation_checkpointing/config.py",
    )
    synchronize_checkpoint_boundary: Setting[bool] = setting(
        Boolean(),
        "Synchronise the device at each checkpoint.",
        "activation_checkpointing.synchronize_checkpoint_boundary",
        "deepspeed/runtime/activation_checkpointing/config.py",
    )
    profile: Setting[bool] = setting(
        Boolean(),
        "Log the time of each checkpoint.",
        "activation_checkpointing.profile",
        "deepspeed/runtime/activation_checkpointing/config.py",
    )
