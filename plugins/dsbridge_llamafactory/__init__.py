"""The target `llamafactory`: LLaMA-Factory's training YAML, a DeepSpeed or Accelerate config, a launch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from dsbridge.sdk import Framework, Rendered, RenderRequest, hookimpl
from dsbridge_llamafactory import codes

if TYPE_CHECKING:
    from dsbridge.rulebook import Launcher, Layer, Reader, Reading, Setup
    from dsbridge.sdk import Start, Vocabulary, Written


def _render(request: RenderRequest) -> Rendered:
    dialect = request.own().get("dialect")
    if dialect == "v1":
        from dsbridge_llamafactory import v1_render

        return v1_render.render(request)
    from dsbridge_llamafactory.render import render  # other targets need none of it

    found = render(request)
    if dialect is None:
        return found
    message = f"`frameworks.llamafactory.dialect: {dialect}`: the older YAML has no word for it, V1's is v1"
    hint = "Take it out, and V1's own keys beside it."
    told = codes.DIALECT(message, hint=hint, key="frameworks.llamafactory.dialect")
    return found._replace(diagnostics=(*found.diagnostics, told))


def _reader() -> Reader:
    from dsbridge_llamafactory.reader import READER

    return READER


def _arguments(versions: Mapping[str, str]) -> frozenset[str]:
    from dsbridge_llamafactory.layer import trainer_arguments

    return trainer_arguments(versions)


def _decides() -> Mapping[str, Any]:
    from dsbridge_llamafactory.fields import DECIDING
    from dsbridge_llamafactory.flags import known_arguments

    known = known_arguments()
    return {name: known[name].default for name in DECIDING}


def _vocabulary(versions: Mapping[str, str], surface: str) -> Vocabulary | None:
    from dsbridge_llamafactory.vocabulary import known

    return known(versions, surface)


def _written(setup: Setup, reading: Reading) -> Iterable[Written]:
    from dsbridge_llamafactory.written import written

    return written(setup, reading)


def _starts() -> Mapping[str, str]:
    from dsbridge_llamafactory.launch import STARTS

    return STARTS


def _program(request: RenderRequest, setup: Setup) -> Start:
    from dsbridge_llamafactory.launch import of_files

    return of_files(request, setup)


FRAMEWORK = Framework(
    name="llamafactory",
    title="LLaMA-Factory",
    package="llamafactory",
    requires={"llamafactory": ">=0.9.3,<=0.9.5"},
    render=_render,
    codes=codes.ALL,
    reader=_reader,
    arguments=_arguments,
    decides=_decides,
    vocabulary=_vocabulary,
    surfaces=("yaml", "flags", "v1"),
    written=_written,
    starts=_starts,
    program=_program,
)


@hookimpl
def dsbridge_frameworks() -> Iterable[Framework]:
    """LLaMA-Factory."""
    return (FRAMEWORK,)


@hookimpl
def dsbridge_launchers() -> Iterable[Launcher]:
    """llamafactory-cli."""
    from dsbridge_llamafactory.cli import LAUNCHERS

    return LAUNCHERS


@hookimpl
def dsbridge_layer(name: str) -> Layer | None:
    """LLaMA-Factory's rules."""
    if name != "llamafactory":
        return None
    from dsbridge_llamafactory.layer import LAYER

    return LAYER
