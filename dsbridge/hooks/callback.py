"""A callback of the Trainer's that verifies the engine before the first step."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from transformers import TrainerCallback

from dsbridge.against import Drift
from dsbridge.hooks.live import engine_for, engine_on_stack
from dsbridge.hooks.meant import Given, meant
from dsbridge.hooks.telling import checked_mode
from dsbridge.hooks.verifying import judge


class VerifyCallback(TrainerCallback):  # type: ignore[misc]
    """`Trainer(..., callbacks=[VerifyCallback("dsbridge.yaml")])`: the run is as the spec says, or it stops.

    spec: a `dsbridge.yaml`, a mapping, what `dsbridge.load` gave, or a framework's file. target: that
    framework; with a spec: compare with everything that the spec comes to as rendered for it. on_difference:
    "raise", "warn" or "record". record_to: a JSON file for what was compared. facts: about the run, for a
    prediction from a framework's file.

    After train begin `.differences` has what differs.
    """

    def __init__(
        self,
        spec: Given,
        on_difference: str = "raise",
        *,
        target: str = "",
        record_to: str | os.PathLike[str] | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        self.mode, self.record_to = checked_mode(on_difference), record_to
        self.meant = meant(spec, target, facts)
        self.differences: list[Drift] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The engine is built, and no step has been taken."""
        engine = engine_for(kwargs.get("model"), kwargs.get("optimizer")) or engine_on_stack()
        self.differences = judge(engine, self.meant, self.mode, self.record_to, args)
