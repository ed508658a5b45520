"""The plugin contract: what a plugin may tell dsbridge. Every hook is optional."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:  # each command imports what it needs of these
    from dsbridge.artifacts import Artifacts
    from dsbridge.diagnostics import Diagnostic
    from dsbridge.framework import Framework
    from dsbridge.reading import Launcher
    from dsbridge.rules import Layer
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

    @hookspec
    def dsbridge_launchers(self) -> Iterable[Launcher]:  # type: ignore[empty-body]
        """Programs that start training and that this plugin can read, such as `accelerate launch`."""

    @hookspec
    def dsbridge_layer(self, name: str) -> Layer | None:
        """The layer of that name, with its moments, rules and tables; None if it is not this plugin's."""

    @hookspec
    def dsbridge_checks(self) -> Iterable[Any]:  # type: ignore[empty-body]
        """Checks (`dsbridge.sdk.Check`): an organisation's policy, a framework's traps."""

    @hookspec
    def dsbridge_hardware(self) -> Iterable[Any]:  # type: ignore[empty-body]
        """GPUs and links (`dsbridge.sdk.Board`, `Link`) for `plan`, beside those of the catalogue."""

    @hookspec
    def dsbridge_models(self) -> Iterable[Any]:  # type: ignore[empty-body]
        """Models (`dsbridge.sdk.ModelEntry`) for `--model NAME`, beside those of the catalogue."""
