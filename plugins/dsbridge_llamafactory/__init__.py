"""The target `llamafactory`: LLaMA-Factory's training YAML, a DeepSpeed or Accelerate config, a launch."""

from __future__ import annotations

from collections.abc import Iterable

from dsbridge.sdk import Framework, Rendered, RenderRequest, hookimpl
from dsbridge_llamafactory import codes


def _render(request: RenderRequest) -> Rendered:
    from dsbridge_llamafactory.render import render  # other targets need none of it

    return render(request)


FRAMEWORK = Framework(
    name="llamafactory",
    title="LLaMA-Factory",
    package="llamafactory",
    requires={"llamafactory": ">=0.9.3,<=0.9.5"},
    render=_render,
    codes=codes.ALL,
)


@hookimpl
def dsbridge_frameworks() -> Iterable[Framework]:
    """LLaMA-Factory."""
    return (FRAMEWORK,)
