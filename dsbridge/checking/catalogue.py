"""All checks: one a module in `dsbridge.checks`, and those that plugins bring."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module

from dsbridge.diagnostics import Code
from dsbridge.plugins import Registry
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
    """Those of the core and of the plugins."""
    several = known.manager.hook.dsbridge_checks()
    return (*own_checks(), *(check for found in several if found for check in found))


def check_codes(known: Registry) -> dict[str, Code]:
    """The code of each check."""
    return {check.code.code: check.code for check in all_checks(known)}
