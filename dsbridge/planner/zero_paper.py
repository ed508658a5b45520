"""The model states of the ZeRO paper (arXiv 1910.02054, section 3.1, figure 1, table 1): what people quote.

Bytes of a device, for parameters and gradients of 2 bytes each and an optimizer of K bytes a parameter (12
for Adam with fp32 weights). They are formulas for a model that stands still: DeepSpeed holds more at its two
peaks (`states`).
"""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

ADAM = 12  # K: fp32 weights, momentum and variance
HALF = 2  # fp16 parameters, and as much for their gradients
# elements that a device sends in a step, in parameters: sections 7.1 and 7.2.1, 7.2.2
COMMUNICATION = {0: 2, 1: 2, 2: 2, 3: 3}


def states(parameters: int, devices: int, stage: int, optimizer: int = ADAM) -> Decimal:
    """Bytes of a device at stages 0 to 3: 16x, 4x + 12x/N, 2x + 14x/N, 16x/N for Adam."""
    kept = {0: 2 * HALF + optimizer, 1: 2 * HALF, 2: HALF, 3: 0}[stage]
    split = {0: 0, 1: optimizer, 2: HALF + optimizer, 3: 2 * HALF + optimizer}[stage]
    return Decimal(parameters) * (kept + Decimal(split) / devices)


def printed(size: Decimal, cell: str, cut: bool = False) -> str:
    """A size in GB, 10^9 bytes, with as many digits as the cell of the paper has."""
    digits = len(cell.partition(".")[2])
    step = Decimal(1).scaleb(-digits)
    return str((size / 10**9).quantize(step, ROUND_DOWN if cut else ROUND_HALF_UP))
