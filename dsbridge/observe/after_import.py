"""Call a function with a module right after that module has been executed."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

Hook = Callable[[ModuleType], None]


class _Loader(Loader):
    """The real loader, followed by the hook."""

    def __init__(self, real: Loader, hook: Hook) -> None:
        self.real, self.hook = real, hook

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.real.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.real.exec_module(module)
        self.hook(module)

    def __getattr__(self, name: str) -> object:
        # inspect and pkgutil ask loaders for get_source, get_data and more.
        return getattr(self.real, name)


class _Finder(MetaPathFinder):
    """Finds a watched module through the other finders and wraps its loader."""

    def __init__(self, hooks: Mapping[str, Hook]) -> None:
        self.hooks, self.busy = hooks, set[str]()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in self.hooks or name in self.busy:
            return None
        self.busy.add(name)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.busy.discard(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self.hooks[name])
        return spec


def install(hooks: Mapping[str, Hook]) -> None:
    """Watch for these modules from now on."""
    sys.meta_path.insert(0, _Finder(hooks))
