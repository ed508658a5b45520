"""The render pass: spec to artifacts, with nothing lost in silence."""

from __future__ import annotations

import difflib

from dsbridge.artifacts import Artifacts
from dsbridge.diagnostics import Code, Diagnostic, InputError, Severity
from dsbridge.fields import unsupported
from dsbridge.framework import Base, Framework, Launch, RenderRequest
from dsbridge.plugins import BROKEN, Registry, registry
from dsbridge.spec import ParallelSpec
from dsbridge.spec.batch import batch_numbers
from dsbridge.spec.leaves import NOT_FOR_FRAMEWORKS, leaves
from dsbridge.spec.load import Loaded

UNKNOWN_TARGET = Code("REN010", "unknown-target", Severity.ERROR, "No plugin knows the target.")
CODES = (UNKNOWN_TARGET,)


def framework_named(name: str, known: Registry | None = None) -> Framework:
    """The framework of that name.

    Raises:
        InputError: no plugin registers it; the message lists what there is, and what is broken.
    """
    known = known or registry()
    if name in known.frameworks:
        return known.frameworks[name]
    close = difflib.get_close_matches(name, known.frameworks, n=1)
    hint = f"Did you mean `{close[0]}`? " if close else ""
    hint += f"Targets: {', '.join(sorted(known.frameworks))}."
    if known.failures:
        hint += "".join(f"\n    Not usable: {error}" for error in known.failures)
    raise InputError([UNKNOWN_TARGET(f"no plugin renders for `{name}`", hint=hint)])


def render(
    loaded: Loaded, target: str, base: Base | None = None, *, plugins: Registry | None = None
) -> Artifacts:
    """Render a spec for one target.

    Every value of the spec is either in the artifacts or named by a diagnostic. An error among the
    diagnostics means refused: there are no files then.

    Raises:
        InputError: the target is unknown, or `base` cannot be read.
    """
    known = plugins or registry()
    framework = framework_named(target, known)
    spec = loaded.spec
    values = leaves(spec)
    # a plugin that cannot be used may be the one that holds a policy
    broken = [BROKEN(str(error), severity=Severity.WARNING) for error in known.failures]
    policy = [*broken, *known.findings(spec)]
    rendered = framework.render(RenderRequest(target, spec, {**values, **_derived(spec)}, base))
    unclaimed = [
        unsupported(path, value, f"no place in {framework.title}")
        for path, value in values.items()
        if path not in rendered.claimed and path not in NOT_FOR_FRAMEWORKS
    ]
    artifacts = Artifacts(
        target,
        dict(rendered.files),
        rendered.launch,
        _placed([*policy, *rendered.diagnostics, *unclaimed], loaded),
    )
    after = _placed(known.findings_rendered(artifacts, spec), loaded)
    artifacts = artifacts._replace(diagnostics=artifacts.diagnostics + after)
    if artifacts.refused:
        artifacts = artifacts._replace(files={}, launch=Launch())
    return artifacts


def _derived(spec: ParallelSpec) -> dict[str, int]:
    """Micro batch and accumulation where the arithmetic gives them, so that field tables write them."""
    numbers = batch_numbers(spec)
    derived = {"batch.micro_per_gpu": numbers.micro, "batch.accumulation": numbers.accumulation}
    return {path: number for path, number in derived.items() if number is not None}


def _placed(diagnostics: list[Diagnostic], loaded: Loaded) -> tuple[Diagnostic, ...]:
    """Each finding with the place of its key in the spec, errors first, duplicates out."""
    order = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}
    placed = [d.at(loaded.document.at(tuple(d.key.split(".")))) if d.key else d for d in diagnostics]
    return tuple(sorted(dict.fromkeys(placed), key=lambda d: (order[d.severity], d.line or 0)))
