"""All checks: one a module in `dsbridge.checks`, and those that plugins bring."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module

from dsbridge.diagnostics import Code
from dsbridge.plugins import PluginError, Registry
from dsbridge.subjects.contract import Check


@cache
def own_checks() -> tuple[Check, ...]:
    """Those of the core, by code."""
    found: list[Check] = []
    folder = import_module("dsbridge.checks").__path__
    for module in sorted(info.name for info in pkgutil.iter_modules(folder)):
        found += import_module(f"dsbridge.checks.{module}").CHECKS
    return tuple(sorted(found, key=lambda check: check.code.code))


def all_checks(known: Registry) -> tuple[Check, ...]:
    """Those of the core and of the plugins. A plugin whose checks break the contract brings none, and is
    among the registry's failures."""
    if known.checks is None:
        known.checks = tuple(_of_plugins(known))
    return (*own_checks(), *known.checks)


def _of_plugins(known: Registry) -> Iterator[Check]:
    taken: dict[str, tuple[Code, object]] = {**known.codes}
    taken |= {check.code.code: (check.code, "dsbridge itself") for check in own_checks()}
    for origin, ask in known.ask("dsbridge_checks"):
        try:
            found = [check for several in ask() for check in several]
            for check in found:
                _hold(check, taken)
                taken[check.code.code] = (check.code, origin)
        except Exception as error:  # whatever it raises is the plugin's fault, and must not stop the others
            said = " ".join(str(error).split())
            kind = "" if isinstance(error, PluginError) else f"{type(error).__name__}: "
            known.failures.append(PluginError(f"{origin}: {kind}{said}"))
        else:
            yield from found


def _hold(check: object, taken: Mapping[str, tuple[Code, object]]) -> None:
    """A plugin's check to the contract."""
    if not isinstance(check, Check):
        raise PluginError(f"dsbridge_checks gives {type(check).__name__}, not dsbridge.sdk.Check")
    if check.code.flaw():
        raise PluginError(check.code.flaw())
    if check.code.code in taken:
        raise PluginError(f"code {check.code.code} is already taken by {taken[check.code.code][1]}")


def check_codes(known: Registry) -> dict[str, Code]:
    """The code of each check."""
    return {check.code.code: check.code for check in all_checks(known)}
