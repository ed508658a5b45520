"""The target `trainer`: keyword arguments for `TrainingArguments`, a DeepSpeed config and a launch."""

from __future__ import annotations

from collections.abc import Iterable

from dsbridge.sdk import Framework, Rendered, RenderRequest, hookimpl
from dsbridge_trainer import codes


def _render(request: RenderRequest) -> Rendered:
    from dsbridge_trainer.render import render  # other targets need none of it

    return render(request)


FRAMEWORK = Framework(
    name="trainer",
    title="HF Trainer",
    package="transformers",
    # both ends take every key written; FSDP's meaning is that of 5.23.0
    requires={"transformers": ">=5.6.0,<=5.23.0"},
    render=_render,
    codes=codes.ALL,
)


@hookimpl
def dsbridge_frameworks() -> Iterable[Framework]:
    """The HF Trainer."""
    return (FRAMEWORK,)
