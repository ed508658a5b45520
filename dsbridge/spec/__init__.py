"""ParallelSpec: what the user wants, in nobody's dialect. UNSET means no opinion, and stays so."""

from __future__ import annotations

from typing import Any

from dsbridge.spec.fsdp import Fsdp
from dsbridge.spec.kinds import Choice, Mapping_, Number
from dsbridge.spec.launching import Launch
from dsbridge.spec.layout import Cluster, Parallelism
from dsbridge.spec.model import Finetuning, Model
from dsbridge.spec.offload import Aio
from dsbridge.spec.optimization import Batch, Optimizer, Scheduler
from dsbridge.spec.precision import Precision
from dsbridge.spec.setting import Part, section, setting
from dsbridge.spec.training import ActivationCheckpointing, Checkpoint, Training
from dsbridge.spec.zero import Zero
from dsbridge.values import Option, Setting


class ParallelSpec(Part):
    """The canonical spec. Build it with `dsbridge.load`, which checks it."""

    version: Option[int] = setting(Choice(auto=False, options=(1,)), "Version of the spec's format; 1.")
    model: Model = section(Model, "What is trained.")
    finetuning: Finetuning = section(Finetuning, "Which weights are trained.")
    cluster: Cluster = section(Cluster, "What there is to train on.")
    parallelism: Parallelism = section(Parallelism, "How the model is laid out.")
    zero: Zero = section(Zero, "DeepSpeed ZeRO.")
    aio: Aio = section(Aio, "NVMe input and output.")
    fsdp: Fsdp = section(Fsdp, "PyTorch FSDP, instead of ZeRO.")
    batch: Batch = section(Batch, "Samples a step.")
    precision: Precision = section(Precision, "Number formats.")
    gradient_clipping: Setting[float] = setting(
        Number(least=0),
        "Largest norm of all gradients together; 0 switches clipping off.",
        "gradient_clipping",
        "deepspeed/runtime/config.py",
    )
    optimizer: Optimizer = section(Optimizer, "What updates the weights.")
    scheduler: Scheduler = section(Scheduler, "How the learning rate moves.")
    training: Training = section(Training, "Length of the run, saving and logging.")
    activation_checkpointing: ActivationCheckpointing = section(
        ActivationCheckpointing, "DeepSpeed's own activation checkpointing."
    )
    checkpoint: Checkpoint = section(Checkpoint, "What a checkpoint holds.")
    launch: Launch = section(Launch, "How the processes are started.")
    deepspeed: Option[dict[str, Any]] = setting(Mapping_(), "Native DeepSpeed keys, passed through verbatim.")
    frameworks: Option[dict[str, dict[str, Any]]] = setting(
        Mapping_(of_mappings=True), "What is a framework's alone, by framework name."
    )
