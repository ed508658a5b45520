"""The plugin contract: what a plugin may tell dsbridge. Every hook is optional."""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from dsbridge.artifacts import Artifacts
from dsbridge.diagnostics import Diagnostic
from dsbridge.framework import Framework
from dsbridge.spec import ParallelSpec

hookspec = pluggy.HookspecMarker("dsbridge")
hookimpl = pluggy.HookimplMarker("dsbridge")


class Hooks:
    """The hooks. Each returns an iterable; dsbridge collects them from all plugins."""

    @hookspec
    def dsbridge_frameworks(self) -> Iterable[Framework]:  # type: ignore[empty-body]
        """The frameworks this plugin renders for."""

    @hookspec
    def dsbridge_spec_loaded(self, spec: ParallelSpec) -> Iterable[Diagnostic]:  # type: ignore[empty-body]
        """An organisation's own policy: findings about a spec, before anything is rendered."""

    @hookspec
    def dsbridge_rendered(  # type: ignore[empty-body]
        self, artifacts: Artifacts, spec: ParallelSpec
    ) -> Iterable[Diagnostic]:
        """Findings about what was rendered; one of severity error refuses it."""
