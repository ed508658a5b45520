"""Keep the dict that `deepspeed.initialize` is given, let the real one run, and stop there."""

from __future__ import annotations

import copy
import functools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dsbridge.observe.engine import describe, strict


class Stop(BaseException):
    """Everything is known: a BaseException, so that no framework's `except Exception` eats it."""


class Seen:
    """What one run has shown so far."""

    def __init__(self) -> None:
        self.stage = "launch"
        self.config: Any = None
        self.engine: dict[str, Any] | None = None


SEEN = Seen()


def config_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The config as DeepSpeed takes it: `config`, or `config_params`, or the file that args name."""
    config = kwargs.get("config", args[10] if len(args) > 10 else None)
    if config is None:
        config = kwargs.get("config_params")
    if config is None:
        first = kwargs.get("args", args[0] if args else None)
        config = getattr(first, "deepspeed_config", None) or getattr(first, "deepscale_config", None)
    try:
        config = _read(config) if isinstance(config, str) else config
    except (OSError, ValueError):  # nothing DeepSpeed can read: its own error is what we came for
        return None
    return config if isinstance(config, dict) else None


def _read(config: str) -> Any:
    """The file of that name, as DeepSpeed reads it; else what base64 hides in the text itself."""
    import base64

    import hjson  # type: ignore[import-untyped]
    from deepspeed.runtime.config_utils import dict_raise_error_on_duplicate_keys

    if not os.path.isfile(config):  # noqa: PTH113 (Path refuses names that are too long)
        return json.loads(base64.urlsafe_b64decode(config))
    text = Path(config).read_text(encoding="utf-8")
    return hjson.loads(text, object_pairs_hook=dict_raise_error_on_duplicate_keys)


def install() -> None:
    """Wrap DeepSpeed's three doors: initialize, the config's class and the engine's."""
    import deepspeed
    import deepspeed.runtime.engine as engine_module

    real = deepspeed.initialize

    @functools.wraps(real)
    def initialize(*args: Any, **kwargs: Any) -> Any:
        if "/trl/" in sys._getframe(1).f_code.co_filename:
            return real(*args, **kwargs)  # a reference model, which is not trained
        SEEN.config = strict(copy.deepcopy(config_of(args, kwargs)))
        SEEN.stage = "deepspeed_config"
        result = real(*args, **kwargs)
        SEEN.engine = describe(result[0])
        groups = getattr(getattr(result[0], "optimizer", None), "param_groups", None)
        SEEN.engine["lr"] = None if groups is None else [group.get("lr") for group in groups]
        SEEN.engine = strict(SEEN.engine)
        raise Stop

    deepspeed.initialize = initialize
    engine = engine_module.DeepSpeedEngine
    engine.__init__ = entering(engine.__init__, "deepspeed_engine")
    stop_at_ddp()


def stop_at_ddp() -> None:
    """A model that is wrapped for DDP trains without DeepSpeed (and a fake group cannot wrap one)."""
    from torch.nn.parallel import DistributedDataParallel

    def stop(self: Any, *args: Any, **kwargs: Any) -> None:
        raise Stop

    DistributedDataParallel.__init__ = stop


def entering(function: Callable[..., Any], stage: str) -> Callable[..., Any]:
    """The function, noting that it has been reached."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if SEEN.stage == "deepspeed_config":
            SEEN.stage = stage
        return function(*args, **kwargs)

    return wrapped
