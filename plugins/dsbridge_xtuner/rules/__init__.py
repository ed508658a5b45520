"""XTuner's rules, a file a group of moments, in the order of the code."""

from __future__ import annotations

from dsbridge.rulebook import OverrideRule
from dsbridge_xtuner.rules.check import CHECK
from dsbridge_xtuner.rules.deepspeed import DEEPSPEED
from dsbridge_xtuner.rules.precision import PRECISION
from dsbridge_xtuner.rules.runner import RUNNER
from dsbridge_xtuner.rules.start import START
from dsbridge_xtuner.rules.strategy import STRATEGY
from dsbridge_xtuner.rules.train import TRAINING

RULES: tuple[OverrideRule, ...] = (*START, *CHECK, *DEEPSPEED, *PRECISION, *RUNNER, *STRATEGY, *TRAINING)
