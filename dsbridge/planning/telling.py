"""A plan as the JSON that the CLI contract fixes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from dsbridge.diagnostics import Diagnostic
from dsbridge.planner.candidate import Candidate
from dsbridge.planner.candidates import Ruled
from dsbridge.planner.job import Job
from dsbridge.planner.search import FITS, Found, Weighed
from dsbridge.planner.terms import Memory, Moment, Range
from dsbridge.planner.tuning import trained
from dsbridge.planning.specs import layout_spec, whole_spec


class Plan(NamedTuple):
    """An answer. given: the user's own layout, where they have one. name: the model as they wrote it.
    refuses: why the framework that it is planned for cannot train a layout, None where it is for none."""

    job: Job
    found: Found
    given: Weighed | None
    name: str
    diagnostics: tuple[Diagnostic, ...]
    refuses: Callable[[Candidate], str] | None = None


def to_json(plan: Plan, shown: Sequence[Weighed]) -> dict[str, Any]:
    """The shape of the contract; layouts: those shown, best first, behind the user's own."""
    best = plan.found.best
    return {
        "model": _model(plan),
        "cluster": _cluster(plan.job),
        "job": _job(plan.job),
        "layouts": [_layout(one, plan.given) for one in shown],
        "best": whole_spec(plan.job, best.candidate, plan.name) if best else None,
        "looked_at": plan.found.looked_at,
        "ruled_out": [_ruled(one) for one in plan.found.ruled_out],
        "diagnostics": [finding.to_json() for finding in plan.diagnostics],
    }


def _model(plan: Plan) -> dict[str, Any]:
    shape = plan.job.shape
    counts = trained(shape, plan.job.method)
    return {
        "name": plan.name or shape.name,
        "type": shape.model_type,
        "parameters": {
            "total": shape.total,
            "trainable": counts.trainable,
            "frozen": counts.frozen,
            "active": shape.active,
        },
    }


def _cluster(job: Job) -> dict[str, Any]:
    cluster = job.cluster
    return {
        "nodes": cluster.nodes,
        "gpus_per_node": cluster.per_node,
        "gpu": cluster.gpu.name,
        "gpu_memory": cluster.gpu.memory,
        "interconnect": {
            "intra": cluster.intra.name,
            "inter": cluster.inter.name,
            "adapters": cluster.adapters,
        },
        "host_memory": cluster.host_memory,
    }


def _job(job: Job) -> dict[str, Any]:
    return {
        "sequence_length": job.sequence,
        "global_batch": job.global_batch,
        "dtype": job.dtype,
        "quantization": job.scheme or None,
        "attention": job.attention,
        "loss": job.loss,
        "deepspeed": ".".join(map(str, job.deepspeed)),
    }


def _layout(one: Weighed, given: Weighed | None) -> dict[str, Any]:
    moved, time = one.communication, one.time
    return {
        "spec": layout_spec(one.candidate),
        "given": one is given,
        "fits": one.verdict == FITS,
        "verdict": one.verdict,
        "memory": _memory(one.memory),
        "communication": {
            "collectives": [
                {"group": group, "kind": kind, "dtype": dtype, "elements": elements}
                for (group, kind, dtype), elements in moved.elements.items()
            ],
            "inside_node_bytes": round(moved.inside),
            "between_nodes_bytes": round(moved.between),
            "pcie_bytes": round(moved.pcie),
            "unmeasured": list(moved.unmeasured),
        },
        "step_time": {name: _range(part) for name, part in time._asdict().items()},
        "reasons": list(one.reasons),
    }


def _memory(memory: Memory) -> dict[str, Any]:
    peak = memory.peak
    most = max(memory.gpu, key=lambda moment: moment.most)
    return {
        "gpu": _parts(peak),
        "host": _parts(largest(memory.host)),
        "nvme": _parts(largest(memory.nvme)),
        "gpu_moment": peak.name,
        "gpu_range": [round(peak.least), round(most.most)],
        "gpu_moments": {moment.name: round(moment.total) for moment in memory.gpu},
    }


def largest(moments: Iterable[Moment]) -> Moment:
    """The moment that holds most; one without parts where there is none."""
    return max(moments, key=lambda moment: moment.total, default=Moment("", ()))


def _parts(moment: Moment) -> dict[str, int]:
    found: dict[str, int] = {}
    for term in moment.terms:
        found[term.part] = found.get(term.part, 0) + round(term.bytes)
    return {**found, "total": sum(found.values())}


def _range(time: Range) -> list[float]:
    return [round(time.low, 4), round(time.high, 4)]


def _ruled(one: Ruled) -> dict[str, str]:
    return {"what": one.what, "why": one.why}
