"""The catalogue of GPUs and links: `hardware.json`, and what plugins add to it.

Memory is what torch reports, which is less than the data sheet says; where reports differ by driver the
smaller one is taken. Peaks are dense bf16, fp16 where a GPU has no bf16. Every number has its source beside
it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from dsbridge.planner.cluster import Board, Cluster, Gpu, Link
from dsbridge.planner.errors import PlanError
from dsbridge.plugins import PluginError, Registry, registry

USUAL_NODE = 8  # GPUs of a node whose adapters the catalogue tells


class Catalogue(NamedTuple):
    """By normalised name. ambiguous: names that several GPUs have; adapters: of links that come in a fixed
    number."""

    boards: Mapping[str, Board]
    links: Mapping[str, Link]
    ambiguous: Mapping[str, tuple[str, ...]]
    adapters: Mapping[str, int]


# what people write or leave out of a GPU's name; torch's own names have them
_VENDORS = r"nvidia|tesla|geforce|quadro|rtx|amd|instinct|intel|habana|huawei|tensorcore|gpu"
_BOARDS = r"sxm\d?|hbm\d?e?|oam"


def normalised(name: str) -> str:
    """A GPU's name without vendor, memory kind, socket and signs: `NVIDIA H100 80GB HBM3` is `h100-80gb`."""
    plain = re.sub(rf"\b({_VENDORS}|{_BOARDS})\b", " ", re.sub(r"[^a-z0-9]+", " ", name.lower()))
    plain = re.sub(r"(\d+) ?g(i?b)?\b", r"\1", re.sub(r"\brtx(?=\d)", "", plain))
    words = plain.split()
    # `A100-PCIE-40GB` and `A100 80GB PCIe` have the same words
    return "".join([*(w for w in words if w != "pcie"), *(w for w in words if w == "pcie")])


def normalised_link(name: str) -> str:
    """A link's name without signs: `InfiniBand NDR` is `ib-ndr`."""
    plain = re.sub(r"[^a-z0-9]+", "", re.sub(r"(\d)\.0\b", r"\1", name.lower()))
    return re.sub(r"x16$", "", plain.replace("infiniband", "ib").replace("ethernet", "eth"))


def gpu(name: str, known: Registry | None = None) -> Gpu:
    """A GPU by the name that people, or torch, give it.

    Raises:
        PlanError: nobody knows it, or it is the name of several.
    """
    return board(name, known).gpu


def board(name: str, known: Registry | None = None) -> Board:
    """The GPU with the links that it usually has.

    Raises:
        PlanError: nobody knows it, or it is the name of several.
    """
    among, key = catalogue(known), normalised(name)
    if key in among.boards:
        return among.boards[key]
    if key in among.ambiguous:
        choices = among.ambiguous[key]
        raise PlanError(f"{name!r} has {len(choices)} sizes of memory", f"give {' or '.join(choices)}")
    raise PlanError(f"no GPU {name!r} is in the catalogue", _near(key, among.boards, "gpus"))


def link(name: str, known: Registry | None = None) -> Link:
    """A link by its name.

    Raises:
        PlanError: nobody knows it.
    """
    among, key = catalogue(known), normalised_link(name)
    if key in among.links:
        return among.links[key]
    raise PlanError(f"no link {name!r} is in the catalogue", _near(key, among.links, "links"))


def has_bf16(name: str, known: Registry | None = None) -> bool | None:
    """Whether a GPU computes in bf16; None where nobody knows it."""
    among, key = catalogue(known), normalised(name)
    names = among.ambiguous.get(key, (name,))
    found = {board.gpu.bf16 for one in names if (board := among.boards.get(normalised(one)))}
    return found.pop() if len(found) == 1 else None


def cluster(
    nodes: int,
    per_node: int,
    gpu: str,
    *,
    intra: str | None = None,
    inter: str | None = None,
    adapters: int | None = None,
    host_memory: int | None = None,
    known: Registry | None = None,
) -> Cluster:
    """Nodes of one kind. What is not said is as such GPUs usually come: links, adapters of a node.

    Raises:
        PlanError: a name that nobody knows, or a number below 1.
    """
    for count, what in ((nodes, "nodes"), (per_node, "GPUs in a node"), (adapters, "adapters in a node")):
        if count is not None and count < 1:
            raise PlanError(f"{count} {what}", "give 1 or more")
    found, between = board(gpu, known), link(inter, known) if inter else None
    if intra and normalised_link(intra) == "nvlink" and found.intra.startswith("nvlink"):
        intra = found.intra  # the one that this GPU has
    if adapters is None:
        fixed = catalogue(known).adapters.get(between.name) if between else None
        adapters = fixed or max(1, found.adapters * min(per_node, USUAL_NODE) // USUAL_NODE)
    return Cluster(
        nodes,
        per_node,
        found.gpu,
        link(intra or found.intra, known),
        between or link(found.inter, known),
        link(found.pcie, known),
        adapters,
        host_memory,
    )


def gpus(known: Registry | None = None) -> tuple[Board, ...]:
    """Every GPU, each once."""
    return tuple({board.gpu.name: board for board in catalogue(known).boards.values()}.values())


def links(known: Registry | None = None) -> tuple[Link, ...]:
    """Every link, each once."""
    return tuple({link.name: link for link in catalogue(known).links.values()}.values())


def _near(key: str, among: Mapping[str, Any], which: str) -> str:
    close = get_close_matches(key, among, n=3, cutoff=0.5)
    names = list(dict.fromkeys(_name(among[one]) for one in close))
    start = f"did you mean {' or '.join(names)}? " if names else ""
    return f"{start}docs/reference/hardware.md lists the {which}"


def _name(entry: Board | Link) -> str:
    return entry.name if isinstance(entry, Link) else entry.gpu.name


@cache
def own() -> Catalogue:
    """What comes with dsbridge."""
    rows = json.loads(Path(__file__).with_name("hardware.json").read_text(encoding="utf-8"))
    boards: dict[str, Board] = {}
    for row in rows["gpus"]:
        names = tuple(row["also"])
        made = Board(_gpu(row), names, row["intra"], row["pcie"], row["inter"], row["adapters"])
        boards |= {normalised(name): made for name in (made.gpu.name, *names)}
    found: dict[str, Link] = {}
    for row in rows["links"]:
        made_link = Link(row["name"], row["rate"] * 1e9, row["source"], row.get("mesh", 0))
        found |= {normalised_link(name): made_link for name in (row["name"], *row["also"])}
    ambiguous = {normalised(name): tuple(choices) for name, choices in rows["ambiguous"].items()}
    fixed = {row["name"]: row["adapters"] for row in rows["links"] if "adapters" in row}
    return Catalogue(boards, found, ambiguous, fixed)


def _gpu(row: Mapping[str, Any]) -> Gpu:
    source = f"memory: {row['memory_source']}; peak: {row['peak_source']}; reached: {row['reached_source']}"
    return Gpu(
        row["name"], row["memory"], row["peak"] * 1e12, row["reached"] * 1e12, row.get("bf16", True), source
    )


def catalogue(known: Registry | None = None) -> Catalogue:
    """With what the plugins add. One whose entries break the contract adds nothing, and is among the
    registry's failures."""
    known = registry() if known is None else known
    if known.hardware is None:
        known.hardware = tuple(_of_plugins(known))
    if not known.hardware:
        return own()
    base = own()
    boards, found = dict(base.boards), dict(base.links)
    for entry in known.hardware:
        if isinstance(entry, Link):
            found[normalised_link(entry.name)] = entry
        else:
            boards |= {normalised(name): entry for name in (entry.gpu.name, *entry.names)}
    return base._replace(boards=boards, links=found)


def _of_plugins(known: Registry) -> Iterator[Board | Link]:
    boards: dict[str, object] = dict.fromkeys((*own().boards, *own().ambiguous), "dsbridge itself")
    found: dict[str, object] = dict.fromkeys(own().links, "dsbridge itself")
    for origin, ask in known.ask("dsbridge_hardware"):
        try:
            given = [entry for several in ask() for entry in several]
            new_boards, new_links = _held(given, boards, found)
        except Exception as error:  # whatever it raises is the plugin's fault, and must not stop the others
            said = " ".join(str(error).split())
            kind = "" if isinstance(error, PluginError) else f"{type(error).__name__}: "
            known.failures.append(PluginError(f"{origin}: {kind}{said}"))
        else:
            boards |= dict.fromkeys(new_boards, origin)
            found |= dict.fromkeys(new_links, origin)
            yield from given


def _held(
    given: Iterable[object], boards: Mapping[str, object], links: Mapping[str, object]
) -> tuple[set[str], set[str]]:
    """A plugin's entries to the contract; their names."""
    entries = list(given)
    mine: tuple[set[str], set[str]] = (set(), set())
    for entry in entries:
        if isinstance(entry, Link):
            _take(normalised_link(entry.name), f"link `{entry.name}`", links, mine[1])
            if not entry.rate > 0:
                raise PluginError(f"link `{entry.name}` has a rate of {entry.rate}; give bytes a second")
        elif isinstance(entry, Board):
            _take(normalised(entry.gpu.name), f"GPU `{entry.gpu.name}`", boards, mine[0])
            for name in entry.names:
                if normalised(name) != normalised(entry.gpu.name):
                    _take(normalised(name), f"GPU `{name}`", boards, mine[0])
            if not (entry.gpu.memory > 0 and entry.gpu.peak > 0 and entry.gpu.reached > 0):
                raise PluginError(f"GPU `{entry.gpu.name}` needs memory, peak and reached above 0")
        else:
            raise PluginError(
                f"dsbridge_hardware gives {type(entry).__name__}, not dsbridge.sdk.Board or Link"
            )
    every = {*links, *mine[1]}
    for board in (entry for entry in entries if isinstance(entry, Board)):
        for name in (board.intra, board.pcie, board.inter):
            if normalised_link(name) not in every:
                raise PluginError(f"GPU `{board.gpu.name}` has a link `{name}` that nobody knows")
    return mine


def _take(key: str, what: str, taken: Mapping[str, object], mine: set[str]) -> None:
    if key in taken:
        raise PluginError(f"{what} is already taken by {taken[key]}")
    mine.add(key)
