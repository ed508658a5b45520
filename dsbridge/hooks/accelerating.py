"""For scripts that use Accelerate: an Accelerator from a spec, and the engine verified after `prepare`."""

from __future__ import annotations

import json
import os
from typing import Any

import yaml

from dsbridge.against import Drift
from dsbridge.deepspeed.config import asks_for_deepspeed
from dsbridge.diagnostics import Code, InputError, Severity
from dsbridge.hooks.building import Spec, loaded_from, merged, rendered, with_ranks
from dsbridge.hooks.meant import Given
from dsbridge.hooks.verifying import verify_engine
from dsbridge.spec.load import Loaded

NO_PLUGIN = Code("HK001", "no-deepspeed-plugin", Severity.ERROR, "An Accelerator needs more than a plugin.")
CODES = (NO_PLUGIN,)

_YAML, _FILE = "accelerate_config.yaml", "ds_config.json"
_BY_FILE = f"frameworks.accelerate.deepspeed_config.deepspeed_config_file={_FILE}"
# Of the YAML: what the launcher alone reads, and what the plugin and the Accelerator are given.
_FOR_THE_LAUNCHER = {
    *("compute_environment", "debug", "distributed_type", "downcast_bf16", "enable_cpu_affinity", "gpu_ids"),
    *("machine_rank", "main_process_ip", "main_process_port", "main_training_function", "num_machines"),
    *("num_processes", "rdzv_backend", "same_network", "use_cpu", "deepspeed_config"),
}
_OF_THE_PLUGIN = ("zero3_init_flag", "deepspeed_moe_layer_cls_names")
_FOR_PDSH = ("deepspeed_config_file", "deepspeed_multinode_launcher", "deepspeed_hostfile")


def accelerator(spec: Spec, **kw: Any) -> Any:
    """An `Accelerator` with the DeepSpeedPlugin that the spec comes to; keywords win.

    The config is that of `dsbridge render --target accelerate`. No YAML and no `accelerate launch` is needed:
    `torchrun train.py` starts it.

    Raises:
        InputError: the spec cannot be read, or it asks for what only `accelerate launch` sets up.
    """
    from accelerate import Accelerator
    from accelerate.utils import DeepSpeedPlugin

    loaded = with_ranks(loaded_from(spec))
    ours, plugin = settings(loaded)
    ours = merged(loaded.document.file, ours, kw)
    if "deepspeed_plugin" not in ours:
        ours["deepspeed_plugin"] = DeepSpeedPlugin(**plugin)
    return Accelerator(**ours)


def settings(loaded: Loaded) -> tuple[dict[str, Any], dict[str, Any]]:
    """The keywords of the Accelerator and those of its plugin.

    Raises:
        InputError: the spec needs more than those.
    """
    name, spec = loaded.document.file, loaded.spec
    made = rendered(loaded_from(loaded, (_BY_FILE,)) if asks_for_deepspeed(spec) else loaded, "accelerate")
    said = yaml.safe_load(made.files[_YAML])
    own = said.get("deepspeed_config") or {}
    beyond = sorted({*said} - _FOR_THE_LAUNCHER | {*own} - {*_OF_THE_PLUGIN, *_FOR_PDSH})
    if _FILE not in made.files or beyond:
        what = ", ".join(f"`{key}`" for key in beyond) or "no DeepSpeed"
        hint = "Start this one as `dsbridge render --target accelerate` writes it, with a bare Accelerator()."
        raise InputError([NO_PLUGIN(f"{name} comes to {what}", hint=hint)])
    config = json.loads(made.files[_FILE])
    ours: dict[str, Any] = {}
    if isinstance(config.get("gradient_accumulation_steps"), int):
        ours["gradient_accumulation_steps"] = config["gradient_accumulation_steps"]
    if isinstance(spec.training.output_dir, str):
        ours["project_dir"] = spec.training.output_dir
    if spec.precision.dtype == "fp8":  # a DeepSpeed config has no word for it
        ours["mixed_precision"] = "fp8"
    return ours, {"hf_ds_config": config, **{key: own[key] for key in _OF_THE_PLUGIN if key in own}}


def verify(
    accelerator: Any,
    spec: Given,
    *,
    target: str = "",
    on_difference: str = "raise",
    record_to: str | os.PathLike[str] | None = None,
) -> list[Drift]:
    """Verify the engine that `accelerator.prepare(...)` has built; every rank calls it, right after.

    Raises:
        DriftError: on every rank, when any of them differs.
    """
    wrapped = getattr(accelerator, "deepspeed_engine_wrapped", None)
    engine = None if wrapped is None else wrapped.engine
    return verify_engine(engine, spec, target=target, on_difference=on_difference, record_to=record_to)
