"""Find, validate and register plugins. Every failure names the plugin and its package.

pluggy leaves a plugin half registered when its validation fails, reports a misspelt hook only if asked,
and lets one broken entry point stop the host. So each plugin is registered on its own, checked at once,
and taken out again if anything is wrong; the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any

import pluggy

from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.framework import Framework
from dsbridge.hookspecs import Hooks

if TYPE_CHECKING:
    from dsbridge.artifacts import Artifacts
    from dsbridge.reading import Launcher
    from dsbridge.rules import Layer
    from dsbridge.spec import ParallelSpec

GROUP = "dsbridge"
BROKEN = Code("PL001", "broken-plugin", Severity.ERROR, "A plugin cannot be used.")
CODES = (BROKEN,)


class PluginError(Exception):
    """A plugin breaks the contract. The text names the plugin, its package and the rule."""


@dataclass(frozen=True)
class Origin:
    """Who brought a framework: the plugin's name and its distribution with version."""

    plugin: str
    package: str | metadata.Distribution

    def __str__(self) -> str:
        return f"plugin `{self.plugin}` (package {self.package_name})"

    @property
    def package_name(self) -> str:
        """Name and version; a distribution's metadata is only parsed when somebody asks."""
        if isinstance(self.package, str):
            return self.package
        return f"{self.package.name} {self.package.version}"


@dataclass
class Registry:
    """All plugins that could be used, and why the others could not."""

    manager: pluggy.PluginManager
    frameworks: dict[str, Framework] = field(default_factory=dict)
    origins: dict[str, Origin] = field(default_factory=dict)
    codes: dict[str, tuple[Code, Origin]] = field(default_factory=dict)
    failures: list[PluginError] = field(default_factory=list)
    sources: dict[str, Origin] = field(default_factory=dict)
    # asked of the plugins once: every input wants them
    _launchers: list[Launcher] | None = None
    _layers: dict[str, Layer] = field(default_factory=dict)
    # those of the plugins, once `checking.catalogue` has asked for them and held them to the contract
    checks: tuple[Any, ...] | None = None
    # likewise, of `planner.hardware` and `planner.catalogue`
    hardware: tuple[Any, ...] | None = None
    models: tuple[Any, ...] | None = None

    def add(self, plugin: object, origin: Origin) -> None:
        """Register one plugin and take over its frameworks.

        Raises:
            PluginError: it breaks the contract; nothing of it stays registered.
        """
        self._launchers = None
        self._layers.clear()
        self.checks = self.hardware = self.models = None
        try:
            self.manager.register(plugin, name=origin.plugin)
            self.manager.check_pending()
            frameworks = self._frameworks_of(plugin)
            self._validate(frameworks, origin)
        except PluginError as error:
            self._remove(plugin)
            raise PluginError(f"{origin}: {error}") from None
        except Exception as error:
            self._remove(plugin)
            said = " ".join(str(error).split())  # pluggy's messages have lines of their own
            raise PluginError(f"{origin}: {type(error).__name__}: {said}") from error
        self.sources[origin.plugin] = origin
        for framework in frameworks:
            self.frameworks[framework.name] = framework
            self.origins[framework.name] = origin
            self.codes |= {code.code: (code, origin) for code in framework.codes}

    def findings(self, spec: ParallelSpec) -> list[Diagnostic]:
        """What the policies of all plugins say about a spec."""
        return _collect(self.manager.hook.dsbridge_spec_loaded(spec=spec))

    def findings_rendered(self, artifacts: Artifacts, spec: ParallelSpec) -> list[Diagnostic]:
        """What the plugins say about rendered artifacts."""
        return _collect(self.manager.hook.dsbridge_rendered(artifacts=artifacts, spec=spec))

    def launchers(self) -> list[Launcher]:
        """The launchers that all plugins can read."""
        if self._launchers is None:
            found = self.manager.hook.dsbridge_launchers()
            self._launchers = [launcher for several in found if several for launcher in several]
        return self._launchers

    def layer(self, name: str) -> Layer:
        """The layer of that name.

        Raises:
            PluginError: no plugin has it, or two do.
        """
        if name in self._layers:
            return self._layers[name]
        found = [layer for layer in self.manager.hook.dsbridge_layer(name=name) if layer is not None]
        if len(found) != 1:
            raise PluginError(f"layer `{name}`: {len(found)} plugins have it, and one should")
        layer: Layer = found[0]
        self._layers[name] = layer
        return layer

    def ask(self, hook: str) -> Iterator[tuple[Origin, Callable[[], list[Any]]]]:
        """Each plugin that has a hook, and how to ask it alone."""
        for name, origin in self.sources.items():
            plugin = self.manager.get_plugin(name)
            others = [each for each in self.manager.get_plugins() if each is not plugin]
            caller = self.manager.subset_hook_caller(hook, remove_plugins=others)
            if caller.get_hookimpls():
                yield origin, caller

    def _frameworks_of(self, plugin: object) -> list[Framework]:
        hook = self.manager.subset_hook_caller(
            "dsbridge_frameworks",
            remove_plugins=[p for p in self.manager.get_plugins() if p is not plugin],
        )
        return [f for result in hook() for f in result]

    def _validate(self, frameworks: Iterable[Framework], origin: Origin) -> None:
        seen: dict[str, Origin] = dict(self.origins)
        for framework in frameworks:
            if not isinstance(framework, Framework):
                raise PluginError(
                    f"dsbridge_frameworks gives {type(framework).__name__}, not dsbridge.sdk.Framework"
                )
            if framework.name in seen:
                other = seen[framework.name]
                raise PluginError(f"framework `{framework.name}` is already registered by {other}")
            seen[framework.name] = origin
            for code in framework.codes:
                if code.flaw():
                    raise PluginError(code.flaw())
                known = self.codes.get(code.code)
                if known and known[0] != code:
                    raise PluginError(f"code {code.code} is already taken by {known[1]}")

    def _remove(self, plugin: object) -> None:
        if self.manager.is_registered(plugin):
            self.manager.unregister(plugin)


def new_registry() -> Registry:
    """A registry without plugins; tests add their own."""
    manager = pluggy.PluginManager("dsbridge")
    manager.add_hookspecs(Hooks)
    return Registry(manager)


@cache
def registry() -> Registry:
    """All installed plugins, by their entry points. A broken one is recorded, not fatal."""
    found = new_registry()
    for entry in sorted(metadata.entry_points(group=GROUP), key=lambda e: e.name):
        origin = Origin(entry.name, entry.dist or "unknown")
        try:
            plugin: Any = _load(entry, origin)
            found.add(plugin, origin)
        except PluginError as error:
            found.failures.append(error)
    return found


def _load(entry: metadata.EntryPoint, origin: Origin) -> Any:
    try:
        return entry.load()
    except Exception as error:
        # whatever its import raises is the plugin's fault, and must not stop the others
        raise PluginError(
            f"{origin}: cannot import {entry.value}: {type(error).__name__}: {error}"
        ) from error


def _collect(results: Iterable[Iterable[Diagnostic] | None]) -> list[Diagnostic]:
    return [d for result in results if result for d in result]
