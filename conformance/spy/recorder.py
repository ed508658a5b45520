"""Keep what `deepspeed.initialize` received, what engine it built, and how many steps were done.

Rank 0 writes the file that CONFORMANCE_RECORD names: once after initialize, so that a crash leaves
the config behind, and again at exit with the number of steps.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import sys
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from dsbridge.observe.calls import bound, config_of, short
from dsbridge.observe.engine import describe, strict

STATE: dict[str, Any] = {"calls": [], "optimizer_steps": 0}
ENGINES: list[Any] = []


def rank() -> int:
    """As every launcher exports it."""
    return int(os.environ.get("RANK", "0"))


def save() -> None:
    """Write what is known so far."""
    if rank() == 0 and (STATE["calls"] or STATE["optimizer_steps"] or "fsdp" in STATE):
        path = Path(os.environ["CONFORMANCE_RECORD"])
        path.write_text(json.dumps(STATE, indent=1, allow_nan=False), encoding="utf-8")


def caller() -> str:
    """The framework's file that called initialize, from its package's folder on."""
    path = sys._getframe(2).f_code.co_filename
    return short(path) if "site-packages/" in path else Path(path).name


def watch_deepspeed(module: ModuleType) -> None:
    """Wrap `deepspeed.initialize`; the real one runs, with what it was given."""
    real: Callable[..., Any] = module.initialize

    @functools.wraps(real)
    def initialize(*args: Any, **kwargs: Any) -> Any:
        if caller().startswith("trl/"):
            return real(*args, **kwargs)  # a reference model, which is not trained
        given, file = config_of(bound(real, args, kwargs))
        call = {"config": strict(given), "form": "path" if file else "dict", "at": caller(), "engine": None}
        STATE["calls"].append(call)
        save()
        result = real(*args, **kwargs)
        ENGINES.append(result[0])
        call["engine"] = describe(result[0])
        save()
        if os.environ.get("CONFORMANCE_STOP"):
            wait_for_the_others()
            os._exit(0)
        return result

    module.initialize = initialize  # type: ignore[attr-defined]


def wait_for_the_others() -> None:
    """All ranks have built their engines: one that left early would be taken for a crash."""
    import torch.distributed as dist

    dist.barrier()


def keep_error(kind: type[BaseException], problem: BaseException, trace: Any) -> None:
    """What ended rank 0 (or the launcher, before it started anybody), when a run is to be stopped."""
    path = Path(os.environ["CONFORMANCE_RECORD"] + ".error")
    if rank() == 0 and not path.exists() and kind.__name__ != "ChildFailedError":
        path.write_text(json.dumps({"type": kind.__name__, "message": str(problem)}), encoding="utf-8")
    sys.__excepthook__(kind, problem, trace)


if os.environ.get("CONFORMANCE_STOP"):
    sys.excepthook = keep_error


def watch_fsdp(module: ModuleType) -> None:
    """Keep the FSDP plugin of every Accelerator, the counterpart of a DeepSpeed config."""
    real = module.Accelerator.__init__

    @functools.wraps(real)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        real(self, *args, **kwargs)
        plugin = getattr(self.state, "fsdp_plugin", None)
        if is_dataclass(plugin):
            STATE["fsdp"] = {f.name: strict(getattr(plugin, f.name)) for f in fields(plugin)}
            STATE["fsdp"]["mixed_precision"] = strict(self.mixed_precision)
            save()

    module.Accelerator.__init__ = init


def watch_steps(module: ModuleType) -> None:
    """Count optimizer steps, for a run without a DeepSpeed engine that counts its own."""

    def count(*_: Any) -> None:
        STATE["optimizer_steps"] += 1

    module.register_optimizer_step_post_hook(count)


@atexit.register
def finish() -> None:
    """The engine's count is the one that matters; skipped steps (fp16 overflow) are named."""
    if ENGINES:
        STATE["steps"] = strict(ENGINES[-1].global_steps)
        STATE["skipped"] = strict(ENGINES[-1].skipped_steps)
    elif STATE["optimizer_steps"]:
        STATE["steps"], STATE["skipped"] = STATE["optimizer_steps"], 0
    save()


def fp16_as_a_gpu_has_it(module: ModuleType) -> None:
    """DeepSpeed's CPU accelerator says that it has no fp16; the case's GPU has."""
    if os.environ.get("CONFORMANCE_STOP"):
        module.CPU_Accelerator.is_fp16_supported = lambda self: True  # type: ignore[attr-defined]


HOOKS = {
    "deepspeed.accelerator.cpu_accelerator": fp16_as_a_gpu_has_it,
    "deepspeed": watch_deepspeed,
    "accelerate.accelerator": watch_fsdp,
    "torch.optim.optimizer": watch_steps,
}
