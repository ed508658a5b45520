"""LLaMA-Factory's reader. Light: every input is shown to it, and few are its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsbridge.rulebook import Reader, Reading, Setup
from dsbridge.sdk import Source
from dsbridge_llamafactory.codes import V1_SWITCH
from dsbridge_llamafactory.inputs import command_of, is_v1, recognises
from dsbridge_llamafactory.program import LAYERS, PROGRAM
from dsbridge_llamafactory.v1_inputs import is_file

if TYPE_CHECKING:
    from dsbridge.sdk import Draft

VERSIONS = {
    "llamafactory": "0.9.5",
    "transformers": "5.6.0",
    "accelerate": "1.11.0",
    "deepspeed": "0.18.4",
}


def _read(setup: Setup) -> Reading:
    if is_v1(setup):
        from dsbridge_llamafactory import v1_reading

        return v1_reading.read(setup)
    from dsbridge_llamafactory.reading import read

    found = read(setup)
    named = setup.words.items[2:3]
    if named and setup.files.has(named[0]) and is_file(setup, named[0]):
        message = f"{named[0]} is in V1's words, and V1 is not switched on"
        told = V1_SWITCH(message, hint="Write USE_V1=1 before the command.", at=Source(named[0]))
        return found._replace(diagnostics=(*found.diagnostics, told))
    return found


def _parse(setup: Setup, reading: Reading) -> Draft:
    if "v1" in reading.trees:
        from dsbridge_llamafactory.v1_parse import parse as parse_v1

        return parse_v1(setup, reading)
    from dsbridge_llamafactory.parse import parse  # explaining needs none of it

    return parse(setup, reading)


READER = Reader(recognises, command_of, _read, PROGRAM, LAYERS, VERSIONS, _parse)
