"""A hook of mmengine's that verifies the engine before the first step of XTuner."""

from __future__ import annotations

import os
from typing import Any

from mmengine.hooks import Hook

from dsbridge.against import Drift
from dsbridge.hooks.meant import Given, meant
from dsbridge.hooks.telling import checked_mode
from dsbridge.hooks.verifying import judge


class VerifyHook(Hook):  # type: ignore[misc]
    """`custom_hooks = [dict(type=VerifyHook, spec="dsbridge.yaml")]` in a config of XTuner 0.2.

    The arguments are those of `VerifyCallback`.
    """

    # before the hooks that generate text when training begins
    priority = "VERY_HIGH"

    def __init__(
        self,
        spec: Given,
        on_difference: str = "raise",
        target: str = "",
        record_to: str | os.PathLike[str] | None = None,
    ) -> None:
        self.mode, self.record_to = checked_mode(on_difference), record_to
        self.meant = meant(spec, target)
        self.differences: list[Drift] = []

    def before_train(self, runner: Any) -> None:
        """The engine is built, and no step has been taken."""
        self.differences = judge(engine_of(runner), self.meant, self.mode, self.record_to)


def engine_of(runner: Any) -> Any:
    """mmengine's MMDeepSpeedEngineWrapper holds the engine (_strategy/deepspeed.py:120, mmengine 0.10.6)."""
    from deepspeed.runtime.engine import DeepSpeedEngine

    inner = getattr(runner.model, "model", None)
    return next((found for found in (runner.model, inner) if isinstance(found, DeepSpeedEngine)), None)
