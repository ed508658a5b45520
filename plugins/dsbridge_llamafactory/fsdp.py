"""FSDP for LLaMA-Factory: an Accelerate YAML beside the training YAML.

LLaMA-Factory looks for `ACCELERATE_USE_FSDP` in the environment (0.9.5 model/model_utils/quantization.py,
checkpointing.py:138), which `accelerate launch` sets and TrainingArguments' own `fsdp` does not.
"""

from __future__ import annotations

from typing import Any

from dsbridge.sdk import (
    UNSET,
    Diagnostic,
    Launch,
    Placed,
    RenderRequest,
    Variable,
    Word,
    dims,
    make_launch,
    master_addr,
    master_port,
    node_rank,
    to_yaml,
    unsupported,
)
from dsbridge_llamafactory import codes
from dsbridge_llamafactory.under_accelerate import OWN, USUAL
from dsbridge_trainer.fsdp import fsdp_settings
from dsbridge_trainer.launch import slurm_node, slurm_notes
from dsbridge_trainer.refusals import under_fsdp

ACCELERATE_FILE = "accelerate_config.yaml"


def fsdp(request: RenderRequest) -> tuple[Placed, str]:
    """Document "args": nothing but what FSDP changes in the training YAML; and the Accelerate YAML."""
    settings = fsdp_settings(request, offload="offload_params", default_version=1)
    found = [*settings.diagnostics, *under_fsdp(request)]
    keys = dict(settings.document("fsdp"))
    if "auto_wrap_policy" not in keys:
        keys["auto_wrap_policy"] = "TRANSFORMER_BASED_WRAP"
        found.append(
            codes.FSDP_WRAP(
                "no `fsdp.auto_wrap` is given: TRANSFORMER_BASED_WRAP is written; Accelerate's own default "
                "makes one unit of the whole model",
                hint="Write `fsdp.auto_wrap: transformer`, size or none.",
                key="fsdp",
            )
        )
    args: dict[str, Any] = {}
    unsaid = request.spec.training.gradient_checkpointing is UNSET
    if keys.get("activation_checkpointing") is True and unsaid:
        args["disable_gradient_checkpointing"] = True
        message = "`fsdp.activation_checkpointing: true` takes the place of LLaMA-Factory's own"
        found.append(codes.CHECKPOINTING(message, key="fsdp.activation_checkpointing"))
    claimed = settings.claimed | {"parallelism.tp", "parallelism.ulysses"}
    text = f"# {request.header()}\n" + to_yaml(_accelerate(request, _prefixed(keys)))
    return Placed({"args": args}, claimed, tuple(found)), text


def _prefixed(keys: dict[str, Any]) -> dict[str, Any]:
    """Accelerate's words: lists are joined, and FSDP 1 names its strategy by another key."""
    keys = dict(keys)
    if keys["version"] == 1 and "reshard_after_forward" in keys:
        keys["sharding_strategy"] = keys.pop("reshard_after_forward").upper()
    layers = keys.get("transformer_layer_cls_to_wrap")
    if layers:
        keys["transformer_layer_cls_to_wrap"] = ",".join(layers)
    return {f"fsdp_{key}": value for key, value in keys.items()}


def _accelerate(request: RenderRequest, settings: dict[str, Any]) -> dict[str, Any]:
    """No `mixed_precision`: the training YAML says it, and TrainingArguments hands it to Accelerate."""
    layout = dims(request.spec)
    size = {} if layout.world_size is None else {"num_processes": layout.world_size}
    own = request.own().get(OWN)
    kept = dict(own) if isinstance(own, dict) else {}
    if "num_processes" in kept and kept["num_processes"] is None:
        del kept["num_processes"]  # parsed from files that leave it to a flag
    more = kept.pop("fsdp_config", {})
    return {
        "compute_environment": "LOCAL_MACHINE",
        "distributed_type": "FSDP",
        "num_machines": layout.nodes,
        **size,
        **{name: value for name, value in USUAL.items() if name != "compute_environment"},
        **kept,
        "fsdp_config": {**settings, **(more if isinstance(more, dict) else {}), **settings},
    }


def launch(request: RenderRequest, training_file: str) -> tuple[Launch, list[Diagnostic]]:
    """`accelerate launch -m llamafactory.launcher`: as a module it trains at once and starts no torchrun."""
    spec, layout = request.spec, dims(request.spec)
    slurm = spec.launch.kind == "slurm"
    rank: Word = slurm_node() if slurm and spec.launch.node_rank is UNSET else node_rank(spec)
    total = Variable("NUM_PROCESSES", required="set it to the number of GPUs of all nodes")
    words: tuple[Word, ...] = (
        *("accelerate", "launch", "--config_file", ACCELERATE_FILE),
        *(("--num_processes", total) if layout.world_size is None else ()),
        *("--machine_rank", rank),
        *("--main_process_ip", master_addr(spec), "--main_process_port", master_port(spec)),
        *("-m", "llamafactory.launcher", training_file),
    )
    found, notes = slurm_notes(spec, []) if slurm else ([], [])
    if spec.launch.kind in ("torchrun", "deepspeed"):
        reason = "with FSDP LLaMA-Factory is started by accelerate launch, which tells it of FSDP"
        found = [unsupported("launch.kind", spec.launch.kind, reason, "Write accelerate or slurm.")]
    return make_launch(request.header(), {}, words, notes), found
