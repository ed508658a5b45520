"""The machine, and how the model is laid out over it."""

from __future__ import annotations

from dsbridge.spec.kinds import Boolean, Choice, Integer, Text
from dsbridge.spec.setting import Part, section, setting
from dsbridge.values import Option, Setting


class Interconnect(Part):
    """Links, by catalogue name; used for planning."""

    intra: Option[str] = setting(Text(auto=False), "Between the GPUs of a node, as nvlink4.", "", "")
    inter: Option[str] = setting(Text(auto=False), "Between nodes, as ib-ndr.", "", "")


class Cluster(Part):
    """What there is to train on."""

    nodes: Option[int] = setting(Integer(auto=False, least=1), "Machines; 1 unless given.", "", "")
    gpus_per_node: Option[int] = setting(
        Integer(auto=False, least=1), "GPUs of a machine (its local_world_size).", "", ""
    )
    gpu: Option[str] = setting(
        Text(auto=False), "Catalogue name of the GPU, as h100-80gb; used for planning.", "", ""
    )
    interconnect: Interconnect = section(Interconnect, "Links between GPUs.")


class Parallelism(Part):
    """Degrees. Data parallelism is derived: world_size / (tp x ulysses)."""

    tp: Option[int] = setting(
        Integer(auto=False, least=1),
        "AutoTP: ranks that share each layer.",
        "tensor_parallel.autotp_size",
        "deepspeed/runtime/tensor_parallel/config.py",
    )
    ulysses: Option[int] = setting(
        Integer(auto=False, least=1),
        "Ulysses: ranks that share each sequence.",
        "sequence_parallel_size",
        "deepspeed/runtime/config.py",
    )
    ep: Option[int] = setting(
        Integer(auto=False, least=1),
        "Ranks that share the experts of a mixture.",
        "",
        "deepspeed/moe/layer.py",
    )
    tp_overlap_comm: Setting[bool] = setting(
        Boolean(),
        "AutoTP: overlap the all-reduce of the backward pass with computation.",
        "tensor_parallel.tp_overlap_comm",
        "deepspeed/runtime/tensor_parallel/config.py",
    )
    tp_grain_size: Setting[int] = setting(
        Integer(least=1),
        "AutoTP: shards are multiples of so many elements.",
        "tensor_parallel.tensor_parallel.tp_grain_size",
        "deepspeed/runtime/tensor_parallel/config.py",
    )
    tp_preset_model: Setting[str] = setting(
        Text(),
        "AutoTP: use the shipped partition rules of this model type.",
        "tensor_parallel.preset_model",
        "deepspeed/runtime/tensor_parallel/config.py",
    )
    ulysses_sequence_length_is_variable: Option[bool] = setting(
        Boolean(auto=False),
        "Ulysses: sequences differ in length between steps.",
        "",
        "accelerate/utils/dataclasses.py DeepSpeedSequenceParallelConfig",
    )
    ulysses_attention: Option[str] = setting(
        Choice(auto=False, options=("flash_attention_2", "flash_attention_3", "sdpa")),
        "Ulysses: the attention that each rank runs on its heads.",
        "",
        "accelerate/utils/dataclasses.py DeepSpeedSequenceParallelConfig",
    )
