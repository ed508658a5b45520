"""dsbridge plugin: Accelerate, launched from its YAML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from dsbridge.sdk import Framework, Rendered, RenderRequest, hookimpl
from dsbridge_accelerate.codes import CODES

if TYPE_CHECKING:  # only the commands that read import these
    from dsbridge.rulebook import Launcher, Layer, Reader, Reading, Setup
    from dsbridge.sdk import Start, Vocabulary, Written


def _render(request: RenderRequest) -> Rendered:
    from dsbridge_accelerate.render import render  # other targets need none of it

    return render(request)


def _reader() -> Reader:
    from dsbridge_accelerate.reader import READER

    return READER


def _vocabulary(versions: Mapping[str, str], surface: str) -> Vocabulary | None:
    from dsbridge_accelerate.vocabulary import known

    return known(versions, surface)


def _written(setup: Setup, reading: Reading) -> Iterable[Written]:
    from dsbridge_accelerate.written import written

    return written(setup, reading)


def _starts() -> Mapping[str, str]:
    from dsbridge_accelerate.launch import STARTS

    return STARTS


def _program(request: RenderRequest, setup: Setup) -> Start:
    from dsbridge_accelerate.launch import of_files

    return of_files(request, setup)


FRAMEWORK = Framework(
    name="accelerate",
    title="Accelerate",
    package="accelerate",
    requires={"accelerate": ">=1.6,<=1.15.0"},
    render=_render,
    codes=CODES,
    reader=_reader,
    vocabulary=_vocabulary,
    surfaces=("yaml", "flags", "sagemaker"),
    written=_written,
    starts=_starts,
    program=_program,
)


@hookimpl
def dsbridge_frameworks() -> Iterable[Framework]:
    """The target `accelerate`."""
    return (FRAMEWORK,)


@hookimpl
def dsbridge_launchers() -> Iterable[Launcher]:
    """`accelerate launch`."""
    from dsbridge_accelerate.launcher import LAUNCHER

    return (LAUNCHER,)


@hookimpl
def dsbridge_layer(name: str) -> Layer | None:
    """What Accelerate does to the DeepSpeed config."""
    if name != "accelerate":
        return None
    from dsbridge_accelerate.layer import LAYER

    return LAYER
