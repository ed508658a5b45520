"""From what a command line names to an explanation: spec files are rendered first."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsbridge.diagnostics import Code, InputError, Severity
from dsbridge.explaining import Explanation, explain
from dsbridge.plugins import registry
from dsbridge.reading import Files

if TYPE_CHECKING:
    from dsbridge.artifacts import Artifacts
    from dsbridge.bounds import Bounds

NEEDS_TARGET = Code("IN024", "spec-needs-target", Severity.ERROR, "A spec is explained for one target.")
CODES = (NEEDS_TARGET,)


def predict(
    given: Sequence[str],
    command: Sequence[str] = (),
    target: str = "",
    facts: Mapping[str, Any] | None = None,
    versions: Mapping[str, str] | None = None,
    *,
    files: Files | None = None,
) -> Explanation:
    """Explain files, a command, or a dsbridge.yaml as rendered for `target`.

    files: the user's, where something is to be known of them; else any that are named.

    Raises:
        InputError: the input cannot be read.
    """
    if target:
        from dsbridge.rendering import framework_named

        framework_named(target)  # a wrong name is said before anything is read
    files = files or Files()
    if len(given) == 1 and is_spec(files, given[0]):
        return _rendered(given[0], target, facts, versions, files.bounds)
    return explain(files, given, command, target=target, facts=facts, versions=versions)


def is_spec(files: Files, name: str) -> bool:
    """True for a mapping with `version: 1`, which no framework's file has beside our sections."""
    if Path(name).suffix not in (".yaml", ".yml"):
        return False
    value = files.yaml(name).value
    return isinstance(value, dict) and value.get("version") == 1 and "deepspeed_config" not in value


def _rendered(
    name: str,
    target: str,
    facts: Mapping[str, Any] | None,
    versions: Mapping[str, str] | None,
    bounds: Bounds | None,
) -> Explanation:
    from dsbridge.assumed import with_script
    from dsbridge.rendering import render
    from dsbridge.spec.load import load_file

    if not target:
        names = ", ".join(sorted(registry().frameworks))
        message = f"{name} is a spec: it is explained as rendered for one target"
        raise InputError([NEEDS_TARGET(message, hint=f"Say --target; one of {names}.")])
    loaded = load_file(Path(name))
    artifacts = render(loaded, target)
    if artifacts.refused:
        raise InputError(artifacts.diagnostics)
    folder = Path(name).parent
    script = str(loaded.spec.launch.script) if loaded.spec.launch.script else "train.py"
    texts, assumed = with_script(artifacts, loaded.spec, present=(folder / script).is_file())
    files = Files(folder, texts, alone=False, bounds=bounds)
    found = explain(files, (), launch_words(artifacts), target=target, facts=facts, versions=versions)
    return found._replace(
        input=found.input._replace(spec=loaded.spec),
        diagnostics=(*artifacts.diagnostics, *assumed, *found.diagnostics),
    )


_SHELL = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*(?::-([^}]*)|:\?[^}]*)?\}")


def launch_words(artifacts: Artifacts) -> list[str]:
    """The launch as the words of a command, environment first, as the first node's shell makes them."""
    words = [f"{key}={value}" for key, value in artifacts.launch.env.items()] + list(artifacts.launch.argv)
    return [_SHELL.sub(lambda found: "0" if found[1] is None else found[1], word) for word in words]
