"""The target `deepspeed`: a script that calls `deepspeed.initialize` itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from dsbridge.deepspeed.dialect import CODES, NO_FSDP
from dsbridge.framework import Framework, Rendered, RenderRequest
from dsbridge.hookspecs import hookimpl

if TYPE_CHECKING:
    from dsbridge.reading import Launcher, Reader
    from dsbridge.rules import Layer


def _render(request: RenderRequest) -> Rendered:
    from dsbridge.deepspeed.rendering import render  # other commands need none of it

    return render(request)


def _reader() -> Reader:
    from dsbridge.deepspeed.reader import READER

    return READER


FRAMEWORK = Framework(
    name="deepspeed",
    title="DeepSpeed",
    package="deepspeed",
    requires={"deepspeed": ">=0.16.2,<=0.19.8"},
    render=_render,
    codes=(*CODES, NO_FSDP),
    reader=_reader,
    fsdp=False,
)


@hookimpl
def dsbridge_frameworks() -> Iterable[Framework]:
    """The bare DeepSpeed target."""
    return (FRAMEWORK,)


@hookimpl
def dsbridge_launchers() -> Iterable[Launcher]:
    """torchrun, srun, python and DeepSpeed's own launcher."""
    from dsbridge.deepspeed.cli import LAUNCHER
    from dsbridge.launchers import LAUNCHERS

    return (*LAUNCHERS, LAUNCHER)


@hookimpl
def dsbridge_layer(name: str) -> Layer | None:
    """What DeepSpeed itself does with the dict, below every framework; and a bare script above it."""
    if name == "deepspeed":
        from dsbridge.deepspeed.layer import LAYER

        return LAYER
    return None
