"""What the page's form recomputes from: every kind of layout as coefficients."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, product
from typing import Any

from dsbridge.formats.yaml_text import to_yaml
from dsbridge.planner.candidate import Candidate, Knobs
from dsbridge.planner.candidates import STAGES
from dsbridge.planner.cluster import Gpu
from dsbridge.planner.hardware import gpus
from dsbridge.planner.job import Job
from dsbridge.planner.memory import memory
from dsbridge.planner.terms import Memory
from dsbridge.planning.specs import NVME_PATH, whole_spec
from dsbridge.planning.telling import Plan
from dsbridge.report.choices import PAIRS, Choices, choices
from dsbridge.report.fitting import Point, few, many
from dsbridge.report.groups import GROUPS, group_of
from dsbridge.report.rows import Row, tips
from dsbridge.report.steps import Steps
from dsbridge.report.surfaces import Surfaces


def whatif(plan: Plan, found: list[Row]) -> dict[str, Any]:
    """All that the form needs, as JSON."""
    job, start = plan.job, first(plan)
    allowed, breaks = choices(plan), breaks_of(job)
    surfaces, steps = Surfaces(), Steps(job)
    bent: list[str] = []
    refused: dict[str, str] = {}
    for one in kinds(allowed, start.knobs):
        if plan.refuses and (why := plan.refuses(one)):
            refused[sharding_of(one)] = why
            continue
        steps.add(key_of(one), one)
        for number, (low, high) in enumerate(pairwise((0, *breaks, None))):
            key = f"{key_of(one)}|{number}"
            asks = (ask(low or 0, high) for ask in (few, many))
            if not any(surfaces.add(key, at, held_at(job, one, at)) for at in asks):
                bent.append(key)
    return {
        "job": _job(job),
        "breaks": breaks,
        "bent": bent,
        "start": _start(job, start),
        "choices": allowed.to_json(),
        "refused": refused,
        "gpus": [[gpu.name, gpu.memory, gpu.bf16] for gpu in _gpus(job)],
        "groups": [group_of(part) for part in surfaces.parts.items],
        "group_names": [group.name for group in GROUPS],
        "tips": tips(found, surfaces.formulas),
        "spec": _spec(plan, start),
        "overlaps": [start._replace(stage=stage).overlaps() for stage in STAGES],
        **steps.to_json(),
        **surfaces.to_json(),
    }


def first(plan: Plan) -> Candidate:
    """What the form begins with: the best layout, else the user's own, else the smallest."""
    best = plan.found.best or plan.given or plan.found.ranked[0]
    return best.candidate


def kinds(allowed: Choices, knobs: Knobs) -> Iterator[Candidate]:
    """One candidate for all that differ in micro batch and in how often they accumulate alone."""
    for tp, ulysses, stage, (optimizer, param) in product(allowed.tp, allowed.ulysses, STAGES, PAIRS):
        for checkpointing, steps in product(allowed.checkpointing, (1, 2)):
            one = Candidate(stage, 1, steps, tp, ulysses, optimizer, param, checkpointing, knobs)
            if not allowed.against(one):
                yield one


def sharding_of(c: Candidate) -> str:
    """What a framework takes or refuses, as the page spells it."""
    return "|".join(map(str, (c.stage, c.offload_optimizer, c.offload_param, c.tp, c.ulysses)))


def key_of(c: Candidate) -> str:
    """What the page looks a kind up by."""
    more = "+" if c.accumulation > 1 else "1"
    return f"{sharding_of(c)}|{c.checkpointing}|{more}"


def _gpus(job: Job) -> list[Gpu]:
    """The catalogue, and the job's own where it is not in it."""
    known = sorted((board.gpu for board in gpus()), key=lambda gpu: gpu.name)
    own = job.cluster.gpu
    return known if own in known else [own, *known]


def held_at(job: Job, one: Candidate, points: tuple[Point, ...]) -> list[Memory]:
    """The memory of a layout at each point."""
    return [memory(job._replace(sequence=s), one._replace(micro=m)) for m, s in points]


def breaks_of(job: Job) -> tuple[int, ...]:
    """Lengths of a sequence above which other formulas hold: where a sliding window begins to slide."""
    return (job.shape.sliding_window,) if job.shape.sliding_window else ()


def _job(job: Job) -> dict[str, Any]:
    return {
        "world": job.cluster.world,
        "bf16": job.dtype == "bfloat16",
        "host_memory": job.cluster.host_memory,
    }


def _start(job: Job, c: Candidate) -> dict[str, Any]:
    return {
        "stage": c.stage,
        "optimizer": c.offload_optimizer,
        "param": c.offload_param,
        "tp": c.tp,
        "ulysses": c.ulysses,
        "micro": c.micro,
        "accumulation": c.accumulation,
        "checkpointing": c.checkpointing,
        "sequence": job.sequence,
        "global": job.global_batch,
        "gpu": job.cluster.gpu.name,
        "room": job.cluster.gpu.memory,
    }


def _spec(plan: Plan, c: Candidate) -> dict[str, Any]:
    """The parts of a spec as text, for the page to put its own layout between."""
    whole = whole_spec(plan.job, c, plan.name)
    known = ("stage", "offload_optimizer", "offload_param")
    knobs = {key: value for key, value in whole["zero"].items() if key not in known}
    return {
        "pieces": [[key, to_yaml({key: value})] for key, value in {**whole, "frameworks": {}}.items()],
        "pin": "true" if c.knobs.pin else "false",
        "disk": NVME_PATH,
        "knobs": [f"  {line}" for line in to_yaml(knobs).splitlines()] if knobs else [],
    }
