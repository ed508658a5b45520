"""What a live DeepSpeed engine was given and what it made of it, and where the engine of a model is."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import Any

from dsbridge.observe.calls import ranks
from dsbridge.observe.engine import class_name, describe, strict

# Their versions are told, of those that the program has imported.
PACKAGES = (
    *("deepspeed", "accelerate", "transformers", "llamafactory", "xtuner", "mmengine"),
    *("trl", "peft", "torch"),
)


def effective(engine: Any) -> dict[str, Any]:
    """The config that a live DeepSpeed engine received and what it made of it, as one call of `observe`.

    engine: what `deepspeed.initialize` gave, or None where it was never called.
    """
    seen: dict[str, Any] = {
        "config": None if engine is None else config_of(engine),
        "engine": None if engine is None else strict(describe(engine)),
        "error": None,
        "outcome": "unused" if engine is None else "initialized",
        "versions": versions(),
        "at": None,  # the engine does not keep who called it
        "model": None if engine is None else model_of(engine.module),
    }
    rank, world = place_of()
    return {**seen, "rank": rank, "world_size": world}


def config_of(engine: Any) -> dict[str, Any] | None:
    """The dict that `deepspeed.initialize` was given; of a file, what DeepSpeed read in it.

    DeepSpeedConfig keeps it as `_param_dict` in every release from 0.16.2 to 0.19.8
    (deepspeed/runtime/config.py, `self._param_dict = config`) and reads a copy of it. Up to 0.19.6
    elasticity, where it is on, writes its three batch sizes into it.
    """
    given = getattr(getattr(engine, "_config", None), "_param_dict", None)
    if not isinstance(given, dict):
        given = getattr(engine, "config", None)
    return strict(given) if isinstance(given, dict) else None


def engine_for(model: Any, optimizer: Any = None) -> Any:
    """The live DeepSpeed engine that trains this model; None when there is none.

    A Trainer hands its callbacks the unwrapped model and no engine. The collector knows every live object,
    so nothing has to be patched before. A model that was trained twice has had two engines: then the one
    whose optimizer is the one at hand.
    """
    module = sys.modules.get("deepspeed.runtime.engine")
    if module is None or model is None:
        return None
    kind = module.DeepSpeedEngine
    engines = [found for found in gc.get_objects() if issubclass(type(found), kind)]
    mine = [engine for engine in engines if _holds(engine, model)]
    bare = getattr(optimizer, "optimizer", optimizer)
    stepping = [engine for engine in mine if bare is not None and engine.optimizer is bare]
    return next(iter([*stepping, *mine]), None)


def engine_on_stack() -> Any:
    """The engine of the Trainer that is calling; None where there is none.

    For a program that froze its objects (`gc.freeze()`): the collector does not tell of those.
    """
    frame = sys._getframe(1)
    while frame is not None:
        accelerator = getattr(frame.f_locals.get("self"), "accelerator", None)
        wrapped = getattr(accelerator, "deepspeed_engine_wrapped", None)
        if wrapped is not None:
            return wrapped.engine
        frame = frame.f_back  # type: ignore[assignment]
    return None


def _holds(engine: Any, model: Any) -> bool:
    """The engine's own module, or one inside it (a compiled model, an adapter)."""
    module = getattr(engine, "module", None)
    return module is model or any(part is model for part in _parts(module))


def _parts(module: Any) -> Iterator[Any]:
    parts = getattr(module, "modules", None)
    return iter(parts()) if callable(parts) else iter(())


def model_of(module: Any) -> dict[str, Any]:
    """The model's class and config: its own, or the first inside it (XTuner wraps the language model)."""
    config = next((found for part in _parts(module) if (found := _config(part)) is not None), None)
    return {"class": class_name(module), "config": config}


def _config(part: Any) -> dict[str, Any] | None:
    said = getattr(getattr(part, "config", None), "to_dict", None)
    made = strict(said()) if callable(said) else None
    return made if isinstance(made, dict) else None


def versions() -> dict[str, str]:
    """The packages that have a say in the config, as far as this program uses them."""
    found = {}
    for name in PACKAGES:
        if name in sys.modules:
            try:
                found[name] = metadata.version(name).partition("+")[0]
            except metadata.PackageNotFoundError:
                continue
    return found


def place_of() -> tuple[int, int]:
    """Rank and number of ranks: of the process group, else as launchers export them."""
    rank, world = ranks()
    return rank or 0, world or 1
