"""`fsdp_config:` of the YAML, for FSDP 1 and 2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsbridge.sdk import AUTO, UNSET, RenderRequest, batch_numbers, dims, place, unsupported
from dsbridge_accelerate.codes import FP8, FSDP, FSDP_CHOICE, VERSION
from dsbridge_accelerate.fields import FP8_BACKEND, FSDP1, FSDP2, MIXED_PRECISION, NOT_UNDER_FSDP
from dsbridge_accelerate.section import Section

_RESHARD = {"full_shard": True, "shard_grad_op": False, "hybrid_shard": True, "hybrid_shard_zero2": False}


def fsdp_section(request: RenderRequest) -> Section:
    """The YAML's FSDP part. Accumulation has no key there: the environment says it."""
    spec, values = request.spec, request.values
    version = spec.fsdp.version or 1
    section = Section(said={"distributed_type": "FSDP", "fsdp_config.fsdp_version": version})
    section.claimed.add("fsdp.version")
    section.take(place((*(FSDP2 if version == 2 else FSDP1), FP8_BACKEND), values))
    _wrap(section, request)
    if version == 2:
        _version_2(section, request)
    else:
        _version_1(section, request)
    _precision(section, request)
    _not_here(section, values)
    steps = batch_numbers(spec).accumulation
    if steps is not None:
        # read by every Accelerator (accelerator.py:547); the YAML field is for DeepSpeed alone
        section.env["ACCELERATE_GRADIENT_ACCUMULATION_STEPS"] = str(steps)
    return section


def _wrap(section: Section, request: RenderRequest) -> None:
    """Accelerate's default policy is NO_WRAP, with which layer classes and sizes would do nothing."""
    fsdp = request.spec.fsdp
    implied = "transformer" if fsdp.transformer_layer_cls is not UNSET else "size"
    given = [n for n in ("transformer_layer_cls", "min_num_params") if getattr(fsdp, n) is not UNSET]
    if fsdp.auto_wrap is UNSET and given:
        key = "fsdp_config.fsdp_auto_wrap_policy"
        section.said[key] = "TRANSFORMER_BASED_WRAP" if implied == "transformer" else "SIZE_BASED_WRAP"
        message = f"`{key}: {section.said[key]}` is written, without which `fsdp.{given[0]}` does nothing"
        section.found.append(FSDP_CHOICE(message, key=f"fsdp.{given[0]}"))
    elif fsdp.auto_wrap is UNSET:
        message = "no `fsdp.auto_wrap` is given: Accelerate makes the whole model one unit"
        hint = "Write `fsdp.auto_wrap: transformer` to gather one layer at a time."
        section.found.append(FSDP_CHOICE(message, hint=hint, key="fsdp"))
    policy = fsdp.auto_wrap if fsdp.auto_wrap is not UNSET else implied
    for name, needed, key in (
        ("transformer_layer_cls", "transformer", "fsdp_config.fsdp_transformer_layer_cls_to_wrap"),
        ("min_num_params", "size", "fsdp_config.fsdp_min_num_params"),
    ):
        if key in section.said and policy != needed:
            del section.said[key]
            reason = f"it has no meaning but with `fsdp.auto_wrap: {needed}`"
            section.found.append(unsupported(f"fsdp.{name}", getattr(fsdp, name), reason))


def _version_1(section: Section, request: RenderRequest) -> None:
    """The launcher refuses efficient loading, which it switches on itself, without synchronising."""
    fsdp = request.spec.fsdp
    if fsdp.sync_module_states is not False:
        return
    key = "fsdp_config.fsdp_cpu_ram_efficient_loading"
    if fsdp.cpu_ram_efficient_loading is True:
        message = "`fsdp.cpu_ram_efficient_loading` needs `fsdp.sync_module_states: true`"
        hint = "Only rank 0 loads the weights then, and has to send them. Remove one of the two."
        section.found.append(FSDP(message, hint=hint, key="fsdp.sync_module_states"))
    elif fsdp.cpu_ram_efficient_loading is UNSET:
        section.said[key] = False
        message = f"`{key}: false` is written: its default, true, needs sync_module_states"
        section.found.append(FSDP_CHOICE(message, key="fsdp.sync_module_states"))


def _version_2(section: Section, request: RenderRequest) -> None:
    fsdp, key = request.spec.fsdp, "fsdp_config.fsdp_reshard_after_forward"
    section.claimed |= {"fsdp.sharding", "fsdp.use_orig_params"}
    if fsdp.use_orig_params is False:
        reason = "FSDP 2 always uses the original parameters"
        section.found.append(unsupported("fsdp.use_orig_params", False, reason))
    if fsdp.state_dict_type == "local_state_dict":
        message = "Accelerate's FSDP 2 has no local_state_dict"
        hint = "Write `fsdp.state_dict_type: sharded_state_dict`."
        section.found.append(FSDP(message, hint=hint, key="fsdp.state_dict_type"))
    if fsdp.sharding is UNSET:
        return
    if fsdp.sharding == "no_shard":
        hint = "Write `fsdp.version: 1`, or `zero: {stage: 0}` for plain data parallelism."
        section.found.append(FSDP("FSDP 2 always shards", hint=hint, key="fsdp.sharding"))
        return
    reshard = _RESHARD[str(fsdp.sharding)]
    if fsdp.reshard_after_forward not in (UNSET, reshard):
        message = f"`fsdp.sharding: {fsdp.sharding}` means reshard_after_forward {str(reshard).lower()}"
        section.found.append(FSDP(message, hint="Keep one of the two.", key="fsdp.reshard_after_forward"))
    section.said[key] = reshard
    if str(fsdp.sharding).startswith("hybrid"):
        _hybrid(section, request)


def _hybrid(section: Section, request: RenderRequest) -> None:
    """Shard inside a node, copy between nodes: FSDP 2 says it by the sizes of the mesh."""
    layout = dims(request.spec)
    section.said |= {
        "parallelism_config.parallelism_config_dp_replicate_size": layout.nodes,
        "parallelism_config.parallelism_config_dp_shard_size": layout.local_world_size,
    }
    message = "hybrid sharding with FSDP 2 is a `parallelism_config`: Accelerate 1.10 or newer"
    section.found.append(VERSION(message, key="fsdp.sharding"))
    if layout.local_world_size == 1:
        message = "hybrid sharding needs more than one GPU in a node"
        section.found.append(FSDP(message, hint="Write `fsdp.sharding: full_shard`.", key="fsdp.sharding"))


def _precision(section: Section, request: RenderRequest) -> None:
    precision, fsdp = request.spec.precision, request.spec.fsdp
    section.claimed |= request.values.keys() & {"precision.dtype"}
    if precision.dtype not in (UNSET, AUTO):
        section.said["mixed_precision"] = MIXED_PRECISION[str(precision.dtype)]
    if precision.fp8_backend == "msamp":
        message = "Accelerate refuses MS-AMP with FSDP"  # accelerator.py:605-610
        section.found.append(FP8(message, hint="Use `te` or `ao`.", key="precision.fp8_backend"))
    if precision.fp8_backend == "ao" and fsdp.cpu_ram_efficient_loading is not False:
        # accelerator.py:518-526; true is the launcher's default
        message = "torchao's fp8 does not run with FSDP's cpu_ram_efficient_loading, which is on by default"
        hint = "Write `fsdp.cpu_ram_efficient_loading: false`."
        section.found.append(FP8(message, hint=hint, key="precision.fp8_backend"))


def _not_here(section: Section, values: Mapping[str, Any]) -> None:
    """DeepSpeed's settings, and its two ways to share a layer or a sequence."""
    for path, value in values.items():
        reason = next((r for start, r in NOT_UNDER_FSDP.items() if path.startswith(start)), None)
        if path == "zero.stage":  # 0 is all that stands beside `fsdp:`, and asks for nothing
            section.claimed.add(path)
        elif reason and value is not AUTO:
            section.found.append(unsupported(path, value, reason))
            section.claimed.add(path)
        elif reason:
            section.claimed.add(path)
        elif path in ("parallelism.tp", "parallelism.ulysses"):
            _degree(section, path, value)
        elif path in ("optimizer.owner", "scheduler.owner") and value == "deepspeed":
            message = f"`{path}: deepspeed`, but with `fsdp:` DeepSpeed does not run"
            section.found.append(FSDP(message, hint="Write `framework`, or use `zero:`.", key=path))


def _degree(section: Section, path: str, value: int) -> None:
    section.claimed.add(path)
    if value > 1:
        message = f"`{path}: {value}` is DeepSpeed's, which does not run with FSDP"
        hint = "Use `zero:` in place of `fsdp:`, or the degree 1."
        section.found.append(FSDP(message, hint=hint, key=path))
