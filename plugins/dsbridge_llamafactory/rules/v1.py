"""The rules of LLaMA-Factory's V1, in the order of its moments."""

from __future__ import annotations

from dsbridge.rulebook import OverrideRule
from dsbridge_llamafactory.rules import v1_engine as engine
from dsbridge_llamafactory.rules import v1_setup as setup

V1: tuple[OverrideRule, ...] = (
    *setup.COMMAND,
    *setup.ARGUMENTS,
    *setup.RANKS,
    *setup.DATA,
    *engine.CONFIG,
    *engine.COPY,
    *engine.LOADED,
    *engine.SPLIT,
    *setup.INIT,
    *setup.MODEL,
    *engine.MODEL,
    *setup.BATCH,
    *engine.ENGINE,
    *engine.PRECISION,
    *engine.MICRO,
    *engine.OPTIMIZER,
)
