"""Keep the dict that `deepspeed.initialize` is given, let the real one run, and stop there."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from dsbridge.observe.calls import bound, config_of
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


def install() -> None:
    """Wrap DeepSpeed's three doors: initialize, the config's class and the engine's."""
    import deepspeed
    import deepspeed.runtime.engine as engine_module

    real = deepspeed.initialize

    @functools.wraps(real)
    def initialize(*args: Any, **kwargs: Any) -> Any:
        if "/trl/" in sys._getframe(1).f_code.co_filename:
            return real(*args, **kwargs)  # a reference model, which is not trained
        SEEN.config = strict(config_of(bound(real, args, kwargs))[0])
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
