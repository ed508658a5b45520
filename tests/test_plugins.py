"""Plugins: found, checked, and named with their package when something is wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dsbridge.diagnostics import InputError
from dsbridge.plugins import Origin, PluginError, Registry, new_registry, registry
from dsbridge.rendering import framework_named, render
from dsbridge.sdk import (
    Artifacts,
    Code,
    Diagnostic,
    Framework,
    Launch,
    ParallelSpec,
    Rendered,
    RenderRequest,
    Severity,
    hookimpl,
)
from dsbridge.spec.load import load_mapping

MINE = Origin("mine", "mine 1.0")
YOURS = Origin("yours", "yours 2.0")
POLICY = Code("POL001", "no-stage-3", Severity.ERROR, "Our cluster is too slow for it.")


def framework(name: str = "mine", codes: tuple[Code, ...] = ()) -> Framework:
    def to_text(request: RenderRequest) -> Rendered:
        return Rendered({"a.txt": request.header()}, Launch(), frozenset(request.values))

    return Framework(name=name, title=name.title(), render=to_text, package="x", requires={}, codes=codes)


class Plugin:
    def __init__(self, *frameworks: Any) -> None:
        self.frameworks = frameworks

    @hookimpl
    def dsbridge_frameworks(self) -> Iterable[Framework]:
        return self.frameworks


def registered(known: Registry, error: str, plugin: object, origin: Origin = MINE) -> None:
    """The plugin is refused with that message, and nothing of it stays."""
    before = (set(known.manager.get_plugins()), dict(known.frameworks))
    with pytest.raises(PluginError, match=error):
        known.add(plugin, origin)
    assert (set(known.manager.get_plugins()), dict(known.frameworks)) == before


def test_a_plugin_brings_a_framework() -> None:
    known = new_registry()
    known.add(Plugin(framework()), MINE)
    artifacts = render(load_mapping({"zero": {"stage": 1}}), "mine", plugins=known)
    assert artifacts.files["a.txt"].startswith("Written by dsbridge")
    assert known.origins["mine"] == MINE


def test_two_frameworks_of_one_name_name_both_packages() -> None:
    known = new_registry()
    known.add(Plugin(framework()), MINE)
    message = r"plugin `yours` \(package yours 2.0\): framework `mine` is already registered by plugin `mine`"
    registered(known, message, Plugin(framework()), YOURS)
    assert known.origins["mine"] == MINE


def test_two_codes_of_one_name_name_both_packages() -> None:
    known = new_registry()
    known.add(Plugin(framework(codes=(POLICY,))), MINE)
    other = Code("POL001", "other", Severity.INFO, "Something else.")
    message = r"package yours 2.0\): code POL001 is already taken by plugin `mine` \(package mine 1.0\)"
    registered(known, message, Plugin(framework("yours", (other,))), YOURS)


def test_a_misspelt_hook_is_named() -> None:
    class Misspelt:
        @hookimpl
        def dsbridge_framework(self) -> Iterable[Framework]:
            return ()

    registered(new_registry(), r"plugin `mine` \(package mine 1.0\): .*dsbridge_framework", Misspelt())


def test_a_hook_with_an_argument_that_does_not_exist_is_named() -> None:
    class Wrong:
        @hookimpl
        def dsbridge_spec_loaded(self, specification: ParallelSpec) -> Iterable[Diagnostic]:
            return ()

    registered(new_registry(), r"plugin `mine` \(package mine 1.0\).*specification", Wrong())


def test_a_wrong_result_is_named() -> None:
    registered(new_registry(), "dsbridge_frameworks gives str, not dsbridge.sdk.Framework", Plugin("mine"))


def test_a_hook_that_raises_is_named() -> None:
    class Raises:
        @hookimpl
        def dsbridge_frameworks(self) -> Iterable[Framework]:
            raise KeyError("boom")

    registered(new_registry(), r"plugin `mine` \(package mine 1.0\): KeyError: 'boom'", Raises())


def test_a_plugin_added_twice_is_refused_and_the_first_stays() -> None:
    known = new_registry()
    plugin = Plugin(framework())
    known.add(plugin, MINE)
    with pytest.raises(PluginError, match="already"):
        known.add(plugin, MINE)
    assert known.frameworks["mine"]


def test_policies_see_the_spec_and_the_artifacts() -> None:
    class Policy(Plugin):
        @hookimpl
        def dsbridge_spec_loaded(self, spec: ParallelSpec) -> Iterable[Diagnostic]:
            return [POLICY("stage 3 is not for us", key="zero.stage")] if spec.zero.stage == 3 else []

        @hookimpl
        def dsbridge_rendered(self, artifacts: Artifacts, spec: ParallelSpec) -> Iterable[Diagnostic]:
            return [POLICY(f"{len(artifacts.files)} file", severity=Severity.INFO)]

    known = new_registry()
    known.add(Policy(framework()), MINE)
    fine = render(load_mapping({"zero": {"stage": 2}}), "mine", plugins=known)
    assert [d.message for d in fine.diagnostics] == ["1 file"]
    refused = render(load_mapping({"zero": {"stage": 3}}), "mine", plugins=known)
    assert refused.refused
    assert refused.files == {}
    assert refused.diagnostics[0].key == "zero.stage"


def test_what_a_framework_does_not_claim_is_said() -> None:
    def forgetful(request: RenderRequest) -> Rendered:
        return Rendered({"a.txt": ""}, Launch(), frozenset())

    known = new_registry()
    lazy = Framework(name="lazy", title="Lazy", render=forgetful, package="x", requires={})
    known.add(Plugin(lazy), MINE)
    spec = {"zero": {"stage": 1}, "optimizer": {"lr": 1e-4}, "cluster": {"gpu": "h100"}}
    found = render(load_mapping(spec), "lazy", plugins=known).diagnostics
    assert [(d.code, d.key) for d in found] == [("REN002", "zero.stage"), ("REN002", "optimizer.lr")]


@pytest.mark.parametrize(("code", "name"), [("x1", "fine"), ("ABC12", "fine"), ("LF001", "Not kebab")])
def test_codes_have_a_form(code: str, name: str) -> None:
    flawed = framework("flawed", (Code(code, name, Severity.INFO, "t"),))
    registered(new_registry(), r"plugin `mine` \(package mine 1.0\): .*(capitals|kebab)", Plugin(flawed))


def test_a_broken_entry_point_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "broken_plugin.py").write_text("raise RuntimeError('no such luck')\n")
    monkeypatch.syspath_prepend(tmp_path)
    entries = metadata.entry_points(group="dsbridge")
    broken = metadata.EntryPoint("broken", "broken_plugin", "dsbridge")
    vars(broken)["dist"] = SimpleNamespace(name="broken-dist", version="0.3")
    monkeypatch.setattr(metadata, "entry_points", lambda group: [*entries, broken])
    known = registry.__wrapped__()
    sys.modules.pop("broken_plugin", None)
    assert "deepspeed" in known.frameworks
    assert [str(error) for error in known.failures] == [
        "plugin `broken` (package broken-dist 0.3): cannot import broken_plugin: RuntimeError: no such luck"
    ]
    with pytest.raises(InputError, match="Not usable: plugin `broken`"):
        framework_named("absent", known)
    spec = load_mapping({"batch": {"micro_per_gpu": 1}, "zero": {"stage": 1}})
    artifacts = render(spec, "deepspeed", plugins=known)
    told = [(d.code, d.severity.value) for d in artifacts.diagnostics if "broken-dist 0.3" in d.message]
    assert told == [("PL001", "warning")], "its policy, if it has one, was not asked"
