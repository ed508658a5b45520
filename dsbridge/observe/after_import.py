"""Call a function with a module right after that module has been executed.

Loaded by path at the start of every Python of an observed run, whatever its version (3.9 and later): so it
imports next to nothing.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

    Hook = Callable[[ModuleType], None]


class _Loader:
    """The real loader, followed by the hook. It steps aside before the module runs."""

    def __init__(self, real: Any, hook: Hook) -> None:
        self.real, self.hook = real, hook

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self.real.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self.real
        if module.__spec__ is not None:
            module.__spec__.loader = self.real
        self.real.exec_module(module)
        self.hook(module)

    def __getattr__(self, name: str) -> object:
        # who has only looked for the module may ask its loader for get_source, get_data and more
        return getattr(self.real, name)


class _Finder:
    """Finds a watched module through the other finders and wraps its loader."""

    def __init__(self, hooks: Mapping[str, Hook]) -> None:
        self.hooks = hooks

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in self.hooks:
            return None
        for finder in list(sys.meta_path):
            look = None if finder is self else getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = look(name, path, target) if look else None
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = _Loader(spec.loader, self.hooks[name])  # type: ignore[assignment]
                return spec
        return None


def install(hooks: Mapping[str, Hook]) -> None:
    """Watch for these modules from now on."""
    sys.meta_path.insert(0, _Finder(hooks))
