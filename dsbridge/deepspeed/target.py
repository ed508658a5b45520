"""The target `deepspeed`: a script that calls `deepspeed.initialize` itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from dsbridge.deepspeed.dialect import CODES, NO_FSDP
from dsbridge.framework import Framework, Rendered, RenderRequest
from dsbridge.hookspecs import hookimpl

if TYPE_CHECKING:
    from dsbridge.launch.start import Start
    from dsbridge.reading import Launcher, Reader, Setup
    from dsbridge.rules import Layer


def _render(request: RenderRequest) -> Rendered:
    from dsbridge.deepspeed.rendering import render  # other commands need none of it

    return render(request)


def _reader() -> Reader:
    from dsbridge.deepspeed.reader import READER

    return READER


def _starts() -> Mapping[str, str]:
    from dsbridge.deepspeed.rendering import STARTS

    return STARTS


def _program(request: RenderRequest, setup: Setup) -> Start:
    from dsbridge.deepspeed.rendering import start

    return start(request, setup.words.items)


FRAMEWORK = Framework(
    name="deepspeed",
    title="DeepSpeed",
    package="deepspeed",
    requires={"deepspeed": ">=0.16.2,<=0.19.8"},
    render=_render,
    codes=(*CODES, NO_FSDP),
    reader=_reader,
    fsdp=False,
    starts=_starts,
    program=_program,
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
