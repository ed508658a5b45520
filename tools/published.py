"""Peaks of GPU memory that others published (`benchmarks/published.json`), as the planner's inputs.

Rows of one source, model and method are a series. A quarter of the series, drawn by the hash of their names
before any of them was predicted, may be used to set constants of the planner; the rest is held out, and only
judges.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from dsbridge.planner import Freeze, Lora, ModelShape, model_shape
from dsbridge.planner.candidate import Candidate, Knobs
from dsbridge.planner.cluster import Cluster, Gpu, Link
from dsbridge.planner.job import Job

PATH = Path(__file__).parent.parent / "benchmarks" / "published.json"
BYTES = {"GB": 10**9, "GiB": 2**30}
# what a row's number is: of torch's allocator, of the whole device, held when nothing runs, not measured at
# all, or nobody said
ALLOCATED, RESERVED, DEVICE, BETWEEN, ESTIMATE, UNSTATED = QUANTITIES = (
    "allocated",
    "reserved",
    "device",
    "between steps",
    "estimate",
    "unstated",
)
SETS = 4  # one series in so many


class Published(NamedTuple):
    """A row. measured: bytes of one GPU; said: as the source has it."""

    id: str
    series: str
    source: str
    engine: str
    quantity: str
    measured: float
    said: str
    full: bool
    missing: tuple[str, ...]
    stands_in: tuple[str, ...]
    job: Job
    candidate: Candidate

    @property
    def may_set(self) -> bool:
        """Whether constants of the planner may be set by it."""
        return may_set(self.series)


def may_set(series: str) -> bool:
    """Whether constants may be set by the rows of a series; drawn by its name alone."""
    return hashlib.sha256(series.encode()).digest()[0] % SETS == 0


@cache
def published() -> dict[str, Any]:
    """The file."""
    found: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))
    return found


@cache
def rows() -> tuple[Published, ...]:
    """Every row that a job and a candidate can express."""
    return tuple(_row(row) for row in published()["rows"])


def _row(row: dict[str, Any]) -> Published:
    candidate = dict(row["candidate"])
    knobs = Knobs(**candidate.pop("knobs", {}))
    laid_out = Candidate(**candidate, knobs=knobs)
    return Published(
        id=row["id"],
        series=row["series"],
        source=row["source"],
        engine=row["engine"],
        quantity=row["quantity"],
        measured=row["measured"] * BYTES[row["unit"]],
        said=row.get("stated", f"{row['measured']:g} {row['unit']}"),
        full=row["full"],
        missing=tuple(row["missing"]),
        stands_in=tuple(row.get("stands_in", ())),
        job=_job(row, laid_out),
        candidate=laid_out,
    )


def _job(row: dict[str, Any], candidate: Candidate) -> Job:
    asked = dict(row["job"])
    nodes, per_node = row["gpus"]
    if "deepspeed" in asked:
        asked["deepspeed"] = tuple(asked["deepspeed"])
    if "method" in asked:
        asked["method"] = _method(asked["method"])
    replicas = candidate.replicas(nodes * per_node)
    asked.setdefault("global_batch", candidate.micro * candidate.accumulation * replicas)
    if "logits" in published()["sources"][row["source"]]:
        asked["logits_held"] = False  # read in the source of who calls the model
    asked.pop("adapters", None)  # a fact of the run, which changes nothing under DeepSpeed
    return Job(shape=_shape(row["model"]), cluster=_cluster(nodes, per_node, row["gpu"]), **asked)


def _method(asked: dict[str, Any]) -> Lora | Freeze:
    fields = {key: tuple(v) if isinstance(v, list) else v for key, v in asked.items() if key != "kind"}
    return Lora(**fields) if asked["kind"] == "lora" else Freeze(**fields)


@cache
def _shape(model: str) -> ModelShape:
    described = published()["models"].get(model)
    return model_shape(described["config"] if described else model)


def _cluster(nodes: int, per_node: int, gpu: str) -> Cluster:
    """No part of memory depends on links, nor on how much a GPU has."""
    size = gpu.rpartition(" ")[2].removesuffix("GB")
    memory = int(size) * 10**9 if size.isdigit() else 0
    unknown = Link("unstated", 1e9)
    return Cluster(nodes, per_node, Gpu(gpu, memory, 1e12, 1e12), unknown, unknown, unknown)
