"""The names that an input of XTuner's has: flags. A config's own names are its variables: any will do."""

from __future__ import annotations

from collections.abc import Iterator

from dsbridge.rulebook import Reading, Setup
from dsbridge.sdk import Written, flags_of


def written(setup: Setup, reading: Reading) -> Iterator[Written]:
    """The flags of `xtuner train`."""
    if "xtuner" in setup.launchers:
        yield from flags_of(setup.words.items, setup.words.source)
