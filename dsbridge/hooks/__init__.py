"""For use inside a running program: verify the live DeepSpeed engine, or build its arguments from a spec.

`import dsbridge.hooks` imports no framework; each name below brings its own when it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dsbridge.hooks.accelerating import accelerator, verify
    from dsbridge.hooks.arguments import training_arguments
    from dsbridge.hooks.callback import VerifyCallback
    from dsbridge.hooks.live import effective
    from dsbridge.hooks.telling import DriftError, DriftWarning
    from dsbridge.hooks.verifying import verify_engine
    from dsbridge.hooks.xtuner import VerifyHook

_HOME = {
    "DriftError": "telling",
    "DriftWarning": "telling",
    "VerifyCallback": "callback",
    "VerifyHook": "xtuner",
    "accelerator": "accelerating",
    "effective": "live",
    "training_arguments": "arguments",
    "verify": "accelerating",
    "verify_engine": "verifying",
}

__all__ = [
    "DriftError",
    "DriftWarning",
    "VerifyCallback",
    "VerifyHook",
    "accelerator",
    "effective",
    "training_arguments",
    "verify",
    "verify_engine",
]


def __getattr__(name: str) -> Any:
    """A class of a framework's exists only where that framework is installed: it is made when asked for."""
    if name in _HOME:
        return getattr(import_module(f"dsbridge.hooks.{_HOME[name]}"), name)
    raise AttributeError(f"module 'dsbridge.hooks' has no attribute {name!r}")
