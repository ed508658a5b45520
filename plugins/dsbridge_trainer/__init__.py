"""The target `trainer`: keyword arguments for `TrainingArguments`, a DeepSpeed config and a launch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from dsbridge.sdk import Framework, Rendered, RenderRequest, hookimpl
from dsbridge_trainer import codes

if TYPE_CHECKING:
    from dsbridge.rulebook import Layer, Reader, Reading, Setup
    from dsbridge.sdk import Start, Vocabulary, Written


def _render(request: RenderRequest) -> Rendered:
    from dsbridge_trainer.render import render  # other targets need none of it

    return render(request)


def _reader() -> Reader:
    from dsbridge_trainer.reader import READER

    return READER


def _arguments(versions: Mapping[str, str]) -> frozenset[str]:
    from dsbridge_trainer import table

    return frozenset(table.fields(table.of(versions)))


def _vocabulary(versions: Mapping[str, str], surface: str) -> Vocabulary | None:
    from dsbridge_trainer.vocabulary import known

    return known(versions, surface)


def _written(setup: Setup, reading: Reading) -> Iterable[Written]:
    from dsbridge_trainer.written import written

    return written(setup, reading)


def _starts() -> Mapping[str, str]:
    from dsbridge_trainer.launch import STARTS

    return STARTS


def _program(request: RenderRequest, setup: Setup) -> Start:
    if "accelerate launch" in setup.launchers:  # Accelerate's YAML is among the files
        from dsbridge_accelerate.launch import of_files

        return of_files(request, setup)
    from dsbridge_trainer.launch import start

    return start(request, {}, setup.words.items)


FRAMEWORK = Framework(
    name="trainer",
    title="HF Trainer",
    package="transformers",
    # both ends take every key written; FSDP's meaning is that of 5.23.0
    requires={"transformers": ">=5.6.0,<=5.23.0"},
    render=_render,
    codes=codes.ALL,
    reader=_reader,
    arguments=_arguments,
    vocabulary=_vocabulary,
    surfaces=("TrainingArguments", "flags"),
    written=_written,
    starts=_starts,
    program=_program,
)


@hookimpl
def dsbridge_frameworks() -> Iterable[Framework]:
    """The HF Trainer."""
    return (FRAMEWORK,)


@hookimpl
def dsbridge_layer(name: str) -> Layer | None:
    """What the Trainer does to the DeepSpeed config, and TRL's trainers, which stand on it."""
    if name not in ("trainer", "trl"):
        return None
    from dsbridge_trainer.rules import LAYER, TRL_LAYER

    return LAYER if name == "trainer" else TRL_LAYER
