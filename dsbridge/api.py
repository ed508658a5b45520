"""What `import dsbridge` offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dsbridge.artifacts import Artifacts
from dsbridge.framework import Base
from dsbridge.hooks.live import effective
from dsbridge.rendering import render as render_pass
from dsbridge.spec.load import Loaded, load_file, load_mapping

__all__ = ["effective", "load", "render"]


def load(spec: Path | str | Mapping[str, Any], sets: Sequence[str] = ()) -> Loaded:
    """Read and check a spec from a file or a mapping. `sets` are changes such as "zero.stage=3".

    Raises:
        dsbridge.sdk.InputError: with one diagnostic for every mistake.
    """
    return load_mapping(spec, sets) if isinstance(spec, Mapping) else load_file(spec, sets)


def render(
    spec: Loaded | Path | str | Mapping[str, Any], target: str, *, base: Base | None = None
) -> Artifacts:
    """Render a spec for one target; look at `.refused` and `.diagnostics` before using `.files`.

    Raises:
        dsbridge.sdk.InputError: the spec, the target or `base` cannot be used.
    """
    return render_pass(spec if isinstance(spec, Loaded) else load(spec), target, base)
