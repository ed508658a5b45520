"""LLaMA-Factory's reader. Light: every input is shown to it, and few are its own."""

from __future__ import annotations

from dsbridge.rulebook import Reader, Reading, Setup
from dsbridge_llamafactory.inputs import command_of, recognises
from dsbridge_llamafactory.program import LAYERS, PROGRAM

VERSIONS = {
    "llamafactory": "0.9.5",
    "transformers": "5.6.0",
    "accelerate": "1.11.0",
    "deepspeed": "0.18.4",
}


def _read(setup: Setup) -> Reading:
    from dsbridge_llamafactory.reading import read

    return read(setup)


READER = Reader(recognises, command_of, _read, PROGRAM, LAYERS, VERSIONS)
