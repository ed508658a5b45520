"""The DeepSpeed file of --deepspeed, or the config's own strategy, in the spec's words.

XTuner overwrites three of its keys by the config's fields, and fills "auto" in two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dsbridge.rulebook import UNSET, lookup
from dsbridge.sdk import Claim, config_claims
from dsbridge_xtuner.ds import DIALECT
from dsbridge_xtuner.view import View

FILE = "ds"
_STEPS_PER_PRINT = "steps_per_print"
# xtuner 0.2.0 tools/train.py:296-342: the field that each of them is overwritten by, and what it is without
_OVERWRITTEN: dict[str, tuple[str, Any]] = {
    "train_micro_batch_size_per_gpu": ("train_dataloader.batch_size", None),
    "gradient_accumulation_steps": ("optim_wrapper.accumulative_counts", 1),
    "gradient_clipping": ("optim_wrapper.clip_grad.max_norm", 1.0),
}
_BY_CONFIG = ("batch.", "gradient_clipping", "optimizer.", "scheduler.")


def deepspeed_claims(ds: Mapping[str, Any]) -> list[Claim]:
    """What the file says that XTuner leaves to it."""
    dtype = list(_dtype(ds))
    # which of the two blocks counts is not known before the GPU is: their details stay as they are
    others = ("precision.fp16.", "precision.bf16.") if dtype else ()
    found = config_claims(ds, DIALECT)
    return [*dtype, *(claim for claim in found if not claim.path.startswith((*_BY_CONFIG, *others)))]


def _dtype(ds: Mapping[str, Any]) -> Iterator[Claim]:
    """ "auto" in both blocks: XTuner asks the GPU (tools/utils.py:157)."""
    if all(lookup(ds, f"{name}.enabled") == "auto" for name in ("bf16", "fp16")):
        keys = ((FILE, "bf16", "enabled"), (FILE, "fp16", "enabled"))
        yield Claim("precision.dtype", "auto", keys)


def own_claims(own: Mapping[str, Any]) -> list[Claim]:
    """A strategy in the config: its DeepSpeed config stays there."""
    ds = own.get("config")
    found = deepspeed_claims(ds) if isinstance(ds, Mapping) else []
    return [
        claim._replace(keys=tuple(("cfg", "strategy", "config", *key[1:]) for key in claim.keys))
        for claim in found
    ]


def said_by_config(ds: Mapping[str, Any], view: View) -> Iterator[tuple[str, ...]]:
    """Keys that say what a field of the config says, or nothing."""
    for name, (field, otherwise) in _OVERWRITTEN.items():
        value = ds.get(name, UNSET)
        if value == "auto" or (value is not UNSET and value == _field(view, field, otherwise)):
            yield (FILE, name)


def overwritten(ds: Mapping[str, Any], view: View) -> dict[tuple[str, ...], str]:
    """Keys that reach nobody, and why."""
    taken = set(said_by_config(ds, view))
    found: dict[tuple[str, ...], str] = {
        (FILE, name): f"is overwritten by `{field}` of the config"
        for name, (field, _) in _OVERWRITTEN.items()
        if name in ds and (FILE, name) not in taken
    }
    if _STEPS_PER_PRINT in ds:
        found[FILE, _STEPS_PER_PRINT] = "is overwritten: mmengine writes the log"
    block = ds.get("optimizer")
    if isinstance(block, Mapping):
        why = "is ignored: XTuner hands DeepSpeed an optimizer of its own"
        found |= {(FILE, "optimizer", *rest): why for rest in _paths(block)}
    return found


def _field(view: View, field: str, otherwise: Any) -> Any:
    value = view.get(field)
    return otherwise if value is None else value


def _paths(block: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, value in block.items():
        if isinstance(value, Mapping) and value:
            yield from ((str(name), *rest) for rest in _paths(value))
        else:
            yield (str(name),)
