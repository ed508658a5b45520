""" "auto" that the source fills from the model's hidden size, for a target that does not fill it.

The source's own rules say the numbers (Accelerate's and the Trainer's: hidden x hidden, 0.9 of that, and
10 x hidden), so what they depend on, as a hidden size in text_config, is not decided here a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from dsbridge.deepspeed.config import ds_key_of
from dsbridge.deepspeed.dialect import AUTO_LEFT_OUT
from dsbridge.diagnostics import Diagnostic
from dsbridge.explaining import Explanation
from dsbridge.trees import lookup

BUCKETS = (
    "zero.reduce_bucket_size",
    "zero.stage3_prefetch_bucket_size",
    "zero.stage3_param_persistence_threshold",
)
_HINT = "DeepSpeed's own default holds. With --model PATH or --fact hidden_size=N the numbers of {} are kept."


def left_out(found: Iterable[Diagnostic]) -> list[str]:
    """The buckets that a target leaves to DeepSpeed's default."""
    return [d.key for d in found if d.code == AUTO_LEFT_OUT.code and d.key in BUCKETS]


def numbers(paths: Iterable[str], explained: Callable[[], Explanation]) -> dict[str, int]:
    """What the source makes of them, where the model's hidden size is known."""
    wanted = list(paths)
    config = explained().config if wanted else None
    found = {path: lookup(config or {}, str(ds_key_of(path))) for path in wanted}
    return {path: int(value) for path, value in found.items() if _is_number(value)}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def with_hint(found: Iterable[Diagnostic], title: str) -> tuple[Diagnostic, ...]:
    """Say how the numbers could be kept."""
    hint = _HINT.format(title)
    return tuple(d._replace(hint=hint) if left_out([d]) else d for d in found)


def reasons(values: Mapping[str, int], title: str) -> dict[str, str]:
    """Why a number stands there, by spec path."""
    return {path: f"{title} fills {value} from the model's hidden size" for path, value in values.items()}
