"""LLaMA-Factory's reader. Light: every input is shown to it, and few are its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsbridge.rulebook import Reader, Reading, Setup
from dsbridge_llamafactory.inputs import command_of, recognises
from dsbridge_llamafactory.program import LAYERS, PROGRAM

if TYPE_CHECKING:
    from dsbridge.sdk import Draft

VERSIONS = {
    "llamafactory": "0.9.5",
    "transformers": "5.6.0",
    "accelerate": "1.11.0",
    "deepspeed": "0.18.4",
}


def _read(setup: Setup) -> Reading:
    from dsbridge_llamafactory.reading import read

    return read(setup)


def _parse(setup: Setup, reading: Reading) -> Draft:
    from dsbridge_llamafactory.parse import parse  # explaining needs none of it

    return parse(setup, reading)


READER = Reader(recognises, command_of, _read, PROGRAM, LAYERS, VERSIONS, _parse)
