"""What the form lets one choose, and what rules a choice out: the reasons of `planner.candidates`."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any, NamedTuple

from dsbridge.planner.candidate import CPU, FULL, NONE, NOWHERE, NVME, Candidate
from dsbridge.planner.candidates import (
    STAGES,
    against_offload,
    against_stage,
    against_tp,
    against_ulysses,
)
from dsbridge.planning.telling import Plan

PLACES = (NOWHERE, CPU, NVME)
PAIRS = tuple(product(PLACES, PLACES))  # of the optimizer, of the parameters
DEGREES = (1, 2, 4, 8, 16)


class Choices(NamedTuple):
    """Reasons by choice, "" where there is none. ulysses: without tp, and with; a sequence that does not
    divide is told by the page. stages: by stage, offloads, and whether tp is above 1. checkpointing: all
    that the form offers."""

    tp: dict[int, str]
    ulysses: dict[int, tuple[str, str]]
    stages: dict[tuple[int, str, str, bool], str]
    checkpointing: tuple[str, ...]

    def against(self, c: Candidate) -> str:
        """What rules a kind of layout out first."""
        return (
            self.tp[c.tp]
            or self.ulysses[c.ulysses][c.tp > 1]
            or self.stages[c.stage, c.offload_optimizer, c.offload_param, c.tp > 1]
        )

    def to_json(self) -> dict[str, Any]:
        """As the page reads it."""
        return {
            "tp": self.tp,
            "ulysses": self.ulysses,
            "checkpointing": self.checkpointing,
            "stages": {
                f"{stage}|{optimizer}|{param}|{'+' if tp else '1'}": why
                for (stage, optimizer, param, tp), why in self.stages.items()
                if why
            },
        }


def choices(plan: Plan) -> Choices:
    """For the plan's machines: powers of 2 up to a node, and what is in the plan already."""
    job = plan.job
    layouts = [plan.given, *plan.found.ranked] if plan.given else plan.found.ranked
    usual = {degree for degree in DEGREES if degree <= job.cluster.per_node}
    tps = sorted(usual | {one.candidate.tp for one in layouts})
    degrees = sorted(usual | {one.candidate.ulysses for one in layouts})
    divides = job._replace(sequence=prod(degrees))  # by each of them
    return Choices(
        {degree: against_tp(job, degree) for degree in tps},
        {
            degree: (against_ulysses(divides, degree), against_ulysses(divides, degree, tp=2))
            for degree in degrees
        },
        {
            (stage, optimizer, param, tp > 1): against_stage(job, stage, tp)
            or against_offload(stage, optimizer, param)
            for stage in STAGES
            for optimizer, param in PAIRS
            for tp in (1, 2)
        },
        tuple(dict.fromkeys([FULL, NONE, *(one.candidate.checkpointing for one in layouts)])),
    )
