"""dsbridge plugin: Accelerate, launched from its YAML."""

from __future__ import annotations

from collections.abc import Iterable

from dsbridge.sdk import Framework, Rendered, RenderRequest, hookimpl
from dsbridge_accelerate.codes import CODES


def _render(request: RenderRequest) -> Rendered:
    from dsbridge_accelerate.render import render  # other targets need none of it

    return render(request)


FRAMEWORK = Framework(
    name="accelerate",
    title="Accelerate",
    package="accelerate",
    requires={"accelerate": ">=1.6,<=1.15.0"},
    render=_render,
    codes=CODES,
)


@hookimpl
def dsbridge_frameworks() -> Iterable[Framework]:
    """The target `accelerate`."""
    return (FRAMEWORK,)
