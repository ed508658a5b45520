"""What a live engine says of itself, as strict JSON.

Also loaded by path inside observed programs, whose Python may be 3.9: the standard library alone.
"""

from __future__ import annotations

import math
from typing import Any

# What is asked of the engine, by the name it is recorded under.
QUESTIONS = {
    "train_batch_size": "train_batch_size",
    "train_micro_batch_size_per_gpu": "train_micro_batch_size_per_gpu",
    "gradient_accumulation_steps": "gradient_accumulation_steps",
    "gradient_clipping": "gradient_clipping",
    "zero_stage": "zero_optimization_stage",
    "fp16": "fp16_enabled",
    "bf16": "bfloat16_enabled",
    "autotp_size": "autotp_size",
}


def strict(value: Any) -> Any:
    """The value as strict JSON can say it; what it cannot say becomes its type's name."""
    if isinstance(value, dict):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return getattr(value, "__name__", None) or str(value)


def class_name(value: Any) -> str | None:
    """`package.module.Class`, with the top package and the class alone."""
    return None if value is None else f"{type(value).__module__.split('.')[0]}.{type(value).__name__}"


def ask(engine: Any, name: str) -> Any:
    """A method in one version, a property or nothing in another."""
    found = getattr(engine, name, None)
    return strict(found() if callable(found) else found)


def describe(engine: Any) -> dict[str, Any]:
    """The engine's own account of itself."""
    facts = {key: ask(engine, name) for key, name in QUESTIONS.items()}
    facts["optimizer"] = class_name(getattr(engine, "basic_optimizer", None))
    facts["optimizer_wrapper"] = class_name(getattr(engine, "optimizer", None))
    facts["scheduler"] = class_name(getattr(engine, "lr_scheduler", None))
    return facts
