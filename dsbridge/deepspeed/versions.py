"""Which `zero_optimization` keys a DeepSpeed version knows: an unknown one stops it."""

from __future__ import annotations

from dsbridge.deepspeed.dialect import Dialect
from dsbridge.diagnostics import Diagnostic
from dsbridge.spec import ParallelSpec


def version_findings(spec: ParallelSpec, dialect: Dialect) -> list[Diagnostic]:
    """Placeholder until the harvested table is in the tree."""
    return []
