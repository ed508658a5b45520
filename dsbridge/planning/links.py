"""`--interconnect`: names of links, and how many adapters a node has."""

from __future__ import annotations

import re

from dsbridge.planner.errors import PlanError
from dsbridge.planning.question import refused

_INSIDE = ("nvlink", "pcie", "xgmi", "hccs", "gaudi")
_COUNTED = re.compile(r"(\d+)\s*x\s*(.+)")


def links(text: str) -> tuple[str | None, str | None, int | None]:
    """The link inside a node, the one between nodes, adapters of a node; None for what is not said.

    Raises:
        InputError: more than one of a kind.
    """
    intra: str | None = None
    inter: str | None = None
    adapters: int | None = None
    for word in (part.strip().lower() for part in text.split(",")):
        if not word:
            continue
        counted = _COUNTED.fullmatch(word)
        name = counted[2] if counted else word
        if name.startswith(_INSIDE):
            if intra or counted:
                raise refused(PlanError(f"{text!r} names two links inside a node", "give one, as nvlink4"))
            intra = name
        else:
            if inter:
                raise refused(PlanError(f"{text!r} names two links between nodes", "give one, as 8xib-ndr"))
            inter, adapters = name, int(counted[1]) if counted else None
    return intra, inter, adapters
