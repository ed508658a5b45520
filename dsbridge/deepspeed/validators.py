"""What DeepSpeed's config classes look at beyond the type of a field, by the name they have there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import ValidationInfo, field_validator, model_validator


def _overlap(self: Any) -> Any:
    """deepspeed/runtime/zero/config.py overlap_comm_valid."""
    if self.overlap_comm is None:
        self.overlap_comm = self.stage == 3
    return self


def _grad_norm(self: Any) -> Any:
    """compute_grad_norm_valid of 0.19.8."""
    if not self.compute_grad_norm and self.stage not in (1, 2):
        raise ValueError("compute_grad_norm=false is supported only with ZeRO Stage 1 or 2")
    return self


def _ratio(self: Any) -> Any:
    """offload_ratio_check."""
    config = self.offload_optimizer
    if config and config.ratio < 1.0:
        assert self.stage == 3, "Partial offloading only supported for ZeRO Stage 3."
    return self


def _loss_scale(cls: Any, v: Any) -> Any:
    """deepspeed/runtime/precision_config.py of 0.19.8."""
    if isinstance(v, bool):
        raise ValueError("fp16.loss_scale must be a number, not bool")
    try:
        v = float(v)
    except (TypeError, ValueError):
        raise ValueError("fp16.loss_scale must be a number") from None
    if not math.isfinite(v):
        raise ValueError("fp16.loss_scale must be a finite number (not inf/-inf/nan)")
    if v < 0:
        raise ValueError("fp16.loss_scale must be >= 0 (0 enables dynamic loss scaling)")
    return v


def _whole(cls: Any, v: Any, info: ValidationInfo) -> Any:
    """_reject_non_integer_scale_params."""
    name = f"fp16.{info.field_name}"
    if isinstance(v, bool):
        raise ValueError(f"{name} must be an integer, not bool")
    if isinstance(v, float) and not math.isfinite(v):
        raise ValueError(f"{name} must be a finite number (not inf/-inf/nan)")
    try:
        int(v)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be an integer") from None
    return v


def _dynamic(self: Any) -> Any:
    """_validate_dynamic_loss_scale_params."""
    if self.enabled and self.loss_scale == 0:
        why = "must be > 0 when dynamic loss scaling is enabled (loss_scale=0)"
        if self.loss_scale_window <= 0:
            raise ValueError(f"fp16.loss_scale_window {why}")
        if self.min_loss_scale <= 0:
            raise ValueError(f"fp16.min_loss_scale {why}")
    return self


def _lists(cls: Any, values: Any) -> Any:
    """deepspeed/runtime/zero/leaf_module_config.py: one name for a list of one."""
    if values is None:
        return {}
    if isinstance(values, dict):
        names = ("classes", "names", "name_suffixes")
        return {k: [v] if k in names and isinstance(v, str) else v for k, v in values.items()}
    raise TypeError("leaf_module configuration must be a mapping of fields to values")


def _zenflow(self: Any) -> Any:
    """deepspeed/runtime/zenflow/zenflow_config.py."""
    if self.select_strategy not in ["auto", "step", "epoch"]:
        raise ValueError('select_strategy must be one of "auto", "step", or "epoch"')
    for name in ("select_interval", "update_interval"):
        value = getattr(self, name)
        if isinstance(value, str) and value != "auto":
            raise ValueError(f'If {name} is a string, it must be "auto"')
    if isinstance(self.update_interval, int) and self.update_interval < 1:
        raise ValueError("If update_interval is a number, it must be at least 1")
    return self


VALIDATORS: Mapping[str, Any] = MappingProxyType(
    {
        "overlap_comm_valid": model_validator(mode="after")(_overlap),
        "compute_grad_norm_valid": model_validator(mode="after")(_grad_norm),
        "offload_ratio_check": model_validator(mode="after")(_ratio),
        "_validate_loss_scale": field_validator("loss_scale", mode="before")(_loss_scale),
        "_reject_non_integer_scale_params": field_validator(
            "loss_scale_window", "min_loss_scale", mode="before"
        )(_whole),
        "_validate_dynamic_loss_scale_params": model_validator(mode="after")(_dynamic),
        "_coerce_container_types": model_validator(mode="before")(classmethod(_lists)),  # type: ignore[arg-type]
        "validate_fields": model_validator(mode="after")(_zenflow),
    }
)
