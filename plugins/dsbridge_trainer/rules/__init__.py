"""The Trainer's share of what happens to the DeepSpeed config, as rows of data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dsbridge.rulebook import Layer, Versions, numbers
from dsbridge_trainer import table
from dsbridge_trainer.moments import MOMENTS, TRL_MOMENTS
from dsbridge_trainer.rules import (
    _trl,
    arguments,
    config,
    finalize,
    notes,
    parser,
    train,
    trainer,
    trl,
    trl_batch,
    trl_reference,
)

RULES = (
    *parser.PARSED,
    *arguments.DEFAULTS,
    *arguments.CHECKS,
    *arguments.PRECISION,
    *config.PROCESS,
    *notes.NOTES,
    *trainer.PRECISION_LATER,
    *arguments.LAST,
    *parser.LEFT,
    *trainer.LOAD,
    *trainer.EARLY,
    *config.AGAIN,
    *trainer.CHECKS,
    *train.TRAIN,
    *finalize.FINALIZE,
    *finalize.MISMATCH,
    *train.OPTIMIZER,
    *train.ENGINE,
)


def _values(name: str) -> Callable[[Versions], Any]:
    """The values of one of transformers' enums."""
    return lambda versions: list(table.enum(name, table.of(versions)))


ENUMS = ("IntervalStrategy", "SaveStrategy", "SchedulerType", "OptimizerNames")
_BITSANDBYTES = ("8bit", "paged_", "lion_", "rmsprop_bnb", "bnb")
_OPTIMIZERS = {
    "adamw_torch": "torch.AdamW",
    "adamw_torch_fused": "torch.AdamW",
    "adamw_hf": "transformers.AdamW",
    "adafactor": "transformers.Adafactor",
    "sgd": "torch.SGD",
    "adagrad": "torch.Adagrad",
    "rmsprop": "torch.RMSprop",
}


def _five(versions: Versions) -> bool:
    return numbers(table.of(versions)) >= (5,)


def _defaults(versions: Versions) -> dict[str, Any]:
    return {**table.defaults(table.of(versions)), "complete_": True}


def _bitsandbytes(versions: Versions) -> list[str]:
    """The optimizers that need it: by their names, which say so."""
    names = table.enum("OptimizerNames", table.of(versions))
    return [name for name in names if any(part in name for part in _BITSANDBYTES) and "torch" not in name]


TABLES: dict[str, Callable[[Versions], Any]] = {
    "trainer.defaults": _defaults,
    **{f"trainer.{name}": _values(name) for name in ENUMS},
    "trainer.new": _five,
    "trainer.fp16_label": lambda versions: (
        "fp16|fp16_full_eval" if _five(versions) else "fp16|fp16_full_eval+fp16_backend(amp)"
    ),
    # from 5.18 on never less than one step is filled; before, what the arguments say
    "trainer.least_warmup": lambda versions: int(numbers(table.of(versions)) >= (5, 18)),
    # from 4.52 on a last optimizer step of fewer batches is counted
    "trainer.partial": lambda versions: int(numbers(table.of(versions)) >= (4, 52)),
    "trainer.optimizers": lambda versions: _OPTIMIZERS,
    "trainer.bitsandbytes": _bitsandbytes,
}
LAYER = Layer(
    "trainer",
    MOMENTS,
    RULES,
    TABLES,
    {"transformers": ("4.48.0", "4.51.3", "4.52.4", "5.6.0", "5.23.0")},
)
_TRL = (
    *trl.PARSED,
    *trl.ARGUMENTS,
    *trl_batch.BATCH,
    *trl.LEFT,
    *trl.INIT,
    *trl_reference.REFERENCE,
)
TRL_LAYER = Layer("trl", TRL_MOMENTS, _TRL, verified={"trl": (_trl.OLD, _trl.NEW)})
