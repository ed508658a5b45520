"""FSDP for LLaMA-Factory: an Accelerate YAML beside the training YAML.

LLaMA-Factory looks for `ACCELERATE_USE_FSDP` in the environment (0.9.5 model/model_utils/quantization.py,
checkpointing.py:138), which `accelerate launch` sets and TrainingArguments' own `fsdp` does not.
"""

from __future__ import annotations

from typing import Any

from dsbridge.sdk import (
    UNSET,
    Placed,
    RenderRequest,
    Start,
    Variable,
    Word,
    by_rendezvous,
    dims,
    master_addr,
    master_port,
    meeting,
    node_rank,
    to_yaml,
)
from dsbridge_llamafactory import codes
from dsbridge_llamafactory.under_accelerate import OWN, USUAL
from dsbridge_trainer.fsdp import fsdp_settings
from dsbridge_trainer.refusals import under_fsdp

ACCELERATE_FILE = "accelerate_config.yaml"
_TELLS = "with FSDP LLaMA-Factory is started by accelerate launch, which tells it of FSDP"
STARTS = {
    "accelerate": "",
    "slurm": "",
    "kubernetes": "",
    "llamafactory": _TELLS,
    "torchrun": _TELLS,
    "deepspeed": _TELLS,
    "ray": _TELLS,
    "xtuner": "it starts XTuner",
}


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
    meets = by_rendezvous(request.spec) and layout.nodes > 1
    return {
        "compute_environment": "LOCAL_MACHINE",
        "distributed_type": "FSDP",
        "num_machines": layout.nodes,
        **size,
        **{name: value for name, value in USUAL.items() if name != "compute_environment"},
        **({"rdzv_backend": "c10d", "same_network": False} if meets else {}),
        **kept,
        "fsdp_config": {**settings, **(more if isinstance(more, dict) else {}), **settings},
    }


def start(request: RenderRequest, training_file: str) -> Start:
    """`accelerate launch -m llamafactory.launcher`: as a module it trains at once and starts no torchrun."""
    spec, layout = request.spec, dims(request.spec)
    total = Variable("NUM_PROCESSES", required="set it to the number of GPUs of all nodes")
    flags, env, says = meeting(spec)
    words: tuple[Word, ...] = (
        *("accelerate", "launch", "--config_file", ACCELERATE_FILE),
        *(("--num_processes", total) if layout.world_size is None else ()),
        *("--machine_rank", node_rank(spec)),
        *("--main_process_ip", master_addr(spec), "--main_process_port", master_port(spec)),
        *flags,
        *("-m", "llamafactory.launcher", training_file),
    )
    return Start("accelerate launch", words, env, says)
