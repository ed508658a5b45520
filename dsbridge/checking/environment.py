"""The packages that are installed here: what their metadata asks for, and releases that break each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import metadata

from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.subjects.combinations import COMBINATIONS, PACKAGES

UNMET = Code("CK551", "requirement-unmet", Severity.ERROR, "A package asks for another release of one here.")
BROKEN = Code("CK552", "bad-environment", Severity.WARNING, "The releases here break each other.")
CODES = (UNMET, BROKEN)


def installed_here() -> dict[str, str]:
    """The versions of the packages that matter."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def environment_findings(versions: Mapping[str, str]) -> list[Diagnostic]:
    """What is wrong with these versions; requirements are those of what is installed in that version."""
    return [*_unmet(versions), *_broken(versions)]


def _broken(versions: Mapping[str, str]) -> Iterator[Diagnostic]:
    for row in COMBINATIONS:
        if row.holds(versions):
            yield BROKEN(f"{row.shown(versions)}: with {row.condition}, {row.what}", hint=row.hint)


def _unmet(versions: Mapping[str, str]) -> Iterator[Diagnostic]:
    here = installed_here()
    for name, version in versions.items():
        if here.get(name) == version:  # the metadata of another release is not here
            yield from _wanted(name, version, versions)


def _wanted(name: str, version: str, versions: Mapping[str, str]) -> Iterator[Diagnostic]:
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    have = {canonicalize_name(package): number for package, number in versions.items()}
    for line in metadata.requires(name) or ():
        try:
            wanted = Requirement(line)
        except InvalidRequirement:
            continue
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        package = canonicalize_name(wanted.name)
        if package in have and not wanted.specifier.contains(have[package], prereleases=True):
            yield UNMET(
                f"{name} {version} asks for {package}{wanted.specifier}, and {have[package]} is here",
                hint=f'Install one that fits: pip install "{package}{wanted.specifier}".',
            )
