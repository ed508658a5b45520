"""What `dsbridge migrate` shows people: the files, and what became of every key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from dsbridge.migrating import EXACT, Migration, Move

_TITLES = {
    "exact": "carried over",
    "lossy": "carried over, but not quite the same",
    "unsupported": "without a place in the target",
    "dropped": "left behind",
}


def print_moves(found: Migration, out: Path | None) -> None:
    """Files to stdout, or their names; then the mapping."""
    if found.refused:
        click.echo(f"{found.artifacts.target} cannot train this; nothing was written", err=True)
        return
    for name, text in found.artifacts.files.items():
        click.echo(f"wrote {out / name}" if out else f"==> {name} <==\n{text}")
    click.echo("\n".join(_lines(found.mapping)))


def _lines(mapping: tuple[Move, ...]) -> Iterator[str]:
    for status, title in _TITLES.items():
        moves = [move for move in mapping if move.status == status]
        if not moves:
            continue
        yield f"{title} ({len(moves)}):"
        width = min(max(len(move.source) for move in moves), 48)
        for move in moves:
            target = f" -> {move.target}" if move.target else ""
            reason = f"  ({move.reason})" if move.reason and (status != EXACT or not target) else ""
            yield f"  {move.source:{width}}{target}{reason}"
