"""`ds_config.json` as XTuner takes it: it overwrites four values and fills nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dsbridge.sdk import UNSET, Diagnostic, Dialect, DsConfig, ParallelSpec, asks_for_deepspeed, ds_config
from dsbridge_xtuner import codes
from dsbridge_xtuner.fields import OPTIMIZERS, TESTED_WITH_ZERO

DEEPSPEED = "0.16.2"
DIALECT = Dialect(
    title="XTuner",
    # xtuner 0.2.0 tools/utils.py:157 fills these two, from what the GPU has
    fills=frozenset({"bf16.enabled", "fp16.enabled"}),
    versions=(DEEPSPEED,),
)


def uses_deepspeed(spec: ParallelSpec) -> bool:
    """Whether `--deepspeed` is given. Full precision needs it: the wrapper of the configs always casts."""
    return asks_for_deepspeed(spec) or spec.precision.dtype in ("fp32", "fp8")


def deepspeed_config(spec: ParallelSpec) -> DsConfig:
    """The config, with the three keys that XTuner's own files have and the spec may leave open."""
    built = ds_config(spec, DIALECT)
    config, found = dict(built.config), list(built.diagnostics)
    _native(spec, found)
    _precision(config, spec, found)
    _optimizer(config, spec, found)
    for path in _autos(config):
        message = f'`{path}` is "auto" in the DeepSpeed file, and XTuner does not fill it'
        hint = "DeepSpeed would stop, or take its default: write a number, or remove the key."
        found.append(codes.AUTO_LEFT(message, hint=hint, key=f"deepspeed.{path}"))
    return DsConfig(config, built.claimed, tuple(found))


# what xtuner 0.2.0 tools/train.py:296-372 and mmengine 0.10.6 _strategy/deepspeed.py:311 overwrite
_OVERWRITTEN = {
    "train_micro_batch_size_per_gpu": "Write `batch.micro_per_gpu`.",
    "gradient_accumulation_steps": "Write `batch.accumulation`.",
    "gradient_clipping": "Write `gradient_clipping` at the top of the spec.",
    "steps_per_print": "Remove it; `training.logging_steps` sets XTuner's own log.",
}


def _native(spec: ParallelSpec, found: list[Diagnostic]) -> None:
    for key in spec.deepspeed if isinstance(spec.deepspeed, dict) else ():
        if key in _OVERWRITTEN:
            message = f"`deepspeed.{key}` does not reach DeepSpeed: XTuner overwrites it"
            found.append(codes.OVERWRITTEN(message, hint=_OVERWRITTEN[key], key=f"deepspeed.{key}"))


def _autos(part: Any, path: str = "") -> Iterator[str]:
    """Every "auto" that stays one."""
    if part == "auto" and path not in DIALECT.fills:
        yield path
    elif isinstance(part, dict):
        for key, value in part.items():
            yield from _autos(value, f"{path}.{key}" if path else key)
    elif isinstance(part, list):
        for index, value in enumerate(part):
            yield from _autos(value, f"{path}.{index}")


def _precision(config: dict[str, Any], spec: ParallelSpec, found: list[Diagnostic]) -> None:
    """Both blocks, each with `enabled`: beside bf16 "auto" an explicit fp16 would be switched off."""
    blocks = {name: config[name] for name in ("fp16", "bf16") if config.get(name)}
    if not blocks:
        config["bf16"], config["fp16"] = {"enabled": "auto"}, {"enabled": "auto"}
        message = 'no `precision.dtype`: "auto" in both blocks, as XTuner\'s own files have it'
        hint = "XTuner trains in bf16 where the GPU has it, else in fp16. Give `precision.dtype` to choose."
        found.append(codes.PRECISION(message, hint=hint))
        return
    for name, block in blocks.items():
        if "enabled" not in block:
            config[name] = {"enabled": False, **block}
            message = f"`{name}.enabled: false`, DeepSpeed's default, is written out"
            hint = "XTuner stops with KeyError: 'enabled' on a block without it (0.2.0 tools/utils.py:170)."
            found.append(codes.ENABLED(message, hint=hint, key=f"deepspeed.{name}"))


def _optimizer(config: dict[str, Any], spec: ParallelSpec, found: list[Diagnostic]) -> None:
    kind = spec.optimizer.type
    untested = kind in OPTIMIZERS and kind not in TESTED_WITH_ZERO
    if config["zero_optimization"].get("stage") and (kind is UNSET or untested):
        # the config may have any optimizer; XTuner's own DeepSpeed files all say this
        config.setdefault("zero_allow_untested_optimizer", True)
    block = config["zero_optimization"].get("offload_optimizer")
    if not isinstance(block, dict) or block.get("device") in (None, "none"):
        return
    forced = config.get("zero_force_ds_cpu_optimizer")
    if forced is None:
        config["zero_force_ds_cpu_optimizer"] = False
        message = "`zero_force_ds_cpu_optimizer: false` is written: XTuner's optimizer is torch's"
        hint = "DeepSpeed would stop otherwise. `type=DeepSpeedCPUAdam` in a config steps faster on the CPU."
        found.append(codes.CPU_OPTIMIZER(message, hint=hint, key="zero.offload_optimizer.device"))
    elif forced is True:
        message = "DeepSpeed would insist on its CPU Adam, but XTuner hands it torch's optimizer"
        hint = "Write `zero.force_ds_cpu_optimizer: false`."
        key = "zero.force_ds_cpu_optimizer"
        found.append(codes.CPU_OPTIMIZER(message, hint=hint, key=key, severity=codes.ERROR))
