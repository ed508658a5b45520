"""dsbridge target `xtuner`: XTuner 0.2, the line that trains with DeepSpeed."""

from __future__ import annotations

from collections.abc import Iterable

from dsbridge.sdk import Framework, Rendered, RenderRequest, hookimpl
from dsbridge_xtuner.codes import CODES


def _render(request: RenderRequest) -> Rendered:
    from dsbridge_xtuner.render import render  # its modules are not needed to list the targets

    return render(request)


FRAMEWORK = Framework(
    name="xtuner",
    title="XTuner",
    package="xtuner",
    requires={"xtuner": ">=0.2.0,<0.3", "mmengine": "==0.10.6", "deepspeed": "==0.16.2"},
    render=_render,
    codes=CODES,
)


@hookimpl
def dsbridge_frameworks() -> Iterable[Framework]:
    """XTuner alone."""
    return (FRAMEWORK,)
