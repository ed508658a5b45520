"""dsbridge: one parallelism spec, rendered for the frameworks that drive DeepSpeed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dsbridge.version import __version__

if TYPE_CHECKING:
    from dsbridge.api import effective, load, render

__all__ = ["__version__", "effective", "load", "render"]


def __getattr__(name: str) -> Any:
    """Import the API when it is used: a plugin that imports dsbridge.sdk pays for no more."""
    if name in __all__:
        from dsbridge import api

        return getattr(api, name)
    raise AttributeError(f"module 'dsbridge' has no attribute {name!r}")
