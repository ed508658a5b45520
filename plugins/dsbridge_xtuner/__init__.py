"""dsbridge target `xtuner`: XTuner 0.2, the line that trains with DeepSpeed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from dsbridge.sdk import Framework, Rendered, RenderRequest, hookimpl
from dsbridge_xtuner.codes import CODES

if TYPE_CHECKING:
    from dsbridge.rulebook import Launcher, Layer, Reader, Reading, Setup
    from dsbridge.sdk import Start, Vocabulary, Written


def _render(request: RenderRequest) -> Rendered:
    from dsbridge_xtuner.render import render  # its modules are not needed to list the targets

    return render(request)


def _reader() -> Reader:
    from dsbridge_xtuner.reader import READER

    return READER


def _vocabulary(versions: Mapping[str, str], surface: str) -> Vocabulary | None:
    from dsbridge_xtuner.vocabulary import known

    return known(versions, surface)


def _written(setup: Setup, reading: Reading) -> Iterable[Written]:
    from dsbridge_xtuner.written import written

    return written(setup, reading)


def _starts() -> Mapping[str, str]:
    from dsbridge_xtuner.launch import STARTS

    return STARTS


def _program(request: RenderRequest, setup: Setup) -> Start:
    from dsbridge_xtuner.launch import of_files

    return of_files(request, setup)


FRAMEWORK = Framework(
    name="xtuner",
    title="XTuner",
    package="xtuner",
    requires={"xtuner": ">=0.2.0,<0.3", "mmengine": "==0.10.6", "deepspeed": "==0.16.2"},
    render=_render,
    codes=CODES,
    reader=_reader,
    fsdp=False,
    deepspeed_builds=False,
    vocabulary=_vocabulary,
    surfaces=("config", "flags"),
    written=_written,
    starts=_starts,
    program=_program,
)


@hookimpl
def dsbridge_frameworks() -> Iterable[Framework]:
    """XTuner alone."""
    return (FRAMEWORK,)


@hookimpl
def dsbridge_launchers() -> Iterable[Launcher]:
    """The `xtuner` command."""
    from dsbridge_xtuner.cli import LAUNCHERS

    return LAUNCHERS


@hookimpl
def dsbridge_layer(name: str) -> Layer | None:
    """XTuner's rules."""
    if name != "xtuner":
        return None
    from dsbridge_xtuner.layer import LAYER

    return LAYER
