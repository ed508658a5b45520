"""Accelerate's layer: its moments, rules and tables."""

from __future__ import annotations

from dsbridge.rulebook import Layer
from dsbridge_accelerate.moments import MOMENTS
from dsbridge_accelerate.rules import config, fill, launch, objects, plugin, precision, prepare, state
from dsbridge_accelerate.tables import of_version

LAYER = Layer(
    name="accelerate",
    moments=MOMENTS,
    rules=(
        *launch.RULES,
        *precision.RULES,
        *plugin.RULES,
        *config.RULES,
        *state.RULES,
        *prepare.RULES,
        *objects.RULES,
        *fill.RULES,
    ),
    tables={"accelerate.launch": of_version},
    verified={"accelerate": ("1.6.0", "1.7.0", "1.11.0", "1.15.0")},
)
