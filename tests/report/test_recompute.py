"""What the page recomputes is what dsbridge computes: its own script, in V8, on choices at random."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

import pytest

from dsbridge.cli.planpage import _verdict
from dsbridge.formats.yaml_text import to_yaml
from dsbridge.planner.candidate import Candidate
from dsbridge.planner.candidates import (
    Wanted,
    against_offload,
    against_stage,
    against_tp,
    against_ulysses,
)
from dsbridge.planner.job import Job
from dsbridge.planner.search import Weighed, weigh
from dsbridge.planning.answering import Asked, answer
from dsbridge.planning.specs import whole_spec
from dsbridge.planning.telling import Plan
from dsbridge.reading import Files
from dsbridge.report.page import page
from dsbridge.spec.load import load_mapping
from tests.report.pages import QUESTIONS, Engine, data_of, page_of, plan_of

CASES = 120
GIB = 2**30


@cache
def engine_of(name: str) -> Engine:
    return Engine(page_of(name))


def choice(data: Any, draw: random.Random) -> dict[str, Any]:
    """What somebody may choose in the form, whether it can be trained or not."""
    own = [one for one in data["gpus"] if one[0] == data["start"]["gpu"]]
    gpu, room, bf16 = draw.choice([*own * 20, *data["gpus"]])
    tp = draw.choice([1, 1, *map(int, data["choices"]["tp"])])
    ulysses = draw.choice([1, 1, *map(int, data["choices"]["ulysses"])])
    micro, steps = draw.choice([1, 1, 2, 3, 4, 8]), draw.choice([1, 1, 2, 4, 7])
    replicas = data["job"]["world"] / (tp * ulysses)
    return {
        "stage": draw.randrange(4),
        "optimizer": draw.choice(["", "", "cpu", "nvme"]),
        "param": draw.choice(["", "", "cpu", "nvme"]),
        "tp": tp,
        "ulysses": ulysses,
        "checkpointing": draw.choice(data["choices"]["checkpointing"]),
        "micro": micro,
        "global": draw.choice([max(1, int(micro * steps * replicas))] * 4 + [draw.randrange(1, 200)]),
        "sequence": draw.choice([512, 1000, 2048, 4096, 12288, draw.randrange(16, 65536)]),
        "gpu": gpu,
        "room": draw.choice([room, round(draw.uniform(8, 300) * GIB)]),
        "bf16": bf16,
    }


def reasons(job: Job, c: dict[str, Any]) -> list[str]:
    """Why the search would not take it."""
    world, groups = job.cluster.world, c["tp"] * c["ulysses"]
    found = [
        against_tp(job, c["tp"]),
        against_ulysses(job, c["ulysses"], c["tp"]),
        against_stage(job, c["stage"], c["tp"]),
        against_offload(c["stage"], c["optimizer"], c["param"]),
        "no bf16" if job.dtype == "bfloat16" and not c["bf16"] else "",
        "groups" if world % groups else "",
    ]
    if world % groups == 0:
        found.append("batch" if c["global"] % (world // groups * c["micro"]) else "")
    return [why for why in found if why]


def asked(plan: Plan, c: dict[str, Any]) -> tuple[Job, Candidate]:
    """The same for dsbridge."""
    gpu = plan.job.cluster.gpu._replace(memory=c["room"])
    cluster = plan.job.cluster._replace(gpu=gpu)
    job = plan.job._replace(sequence=c["sequence"], global_batch=c["global"], cluster=cluster)
    steps = c["global"] // (cluster.world // (c["tp"] * c["ulysses"])) // c["micro"]
    start = plan.found.best or plan.found.ranked[0]
    return job, Candidate(
        c["stage"], c["micro"], steps, c["tp"], c["ulysses"], c["optimizer"], c["param"],
        c["checkpointing"], start.candidate.knobs,
    )  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "full",
        "every other",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("two nodes", "too large", "window", "eager")),
    ],
)
def test_the_page_says_what_dsbridge_says(name: str) -> None:
    plan, data, engine = plan_of(name), data_of(page_of(name)), engine_of(name)
    draw = random.Random(f"{name} 6")
    verdicts, trained, timed = dict[str, int](), 0, 0
    while trained < CASES:
        c = choice(data, draw)
        told = engine.call("recompute", c)
        job = plan.job._replace(sequence=c["sequence"], global_batch=c["global"])
        if why := reasons(job, c):
            assert told["ruledOut"], (c, why)
            verdicts["ruled out"] = verdicts.get("ruled out", 0) + 1
            continue
        assert not told["ruledOut"], (c, told["ruledOut"])
        trained += 1
        weighed = weigh(*asked(plan, c))
        assert told["verdict"] == weighed.verdict, c
        assert engine.call("((_, found) => told(found))", told) == _verdict(weighed)
        assert told["reasons"] == list(weighed.reasons)
        assert told["lacking"] == pytest.approx(weighed.lacking, rel=1e-7, abs=2**14)
        verdicts[weighed.verdict] = verdicts.get(weighed.verdict, 0) + 1
        same_memory(told["memory"], weighed.memory, c)
        if c["gpu"] == plan.job.cluster.gpu.name:
            same_step(told["step"], weighed, c)
            timed += 1
        else:
            assert told["step"] is None
    assert verdicts.keys() >= {"ruled out", "too large"}, verdicts
    assert timed > 20
    assert name == "too large" or "fits" in verdicts


def same_step(told: Any, weighed: Weighed, c: Any) -> None:
    time, moved = weighed.time, weighed.communication
    for ours, theirs in (
        (told["low"], time.total.low),
        (told["high"], time.total.high),
        (told["compute_low"], time.compute.low),
        (told["inside"], moved.inside),
        (told["between"], moved.between),
        (told["pcie"], moved.pcie),
    ):
        assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-9), c


def same_memory(told: Any, memory: Any, c: Any) -> None:
    for place in ("gpu", "host", "nvme"):
        moments = getattr(memory, place)
        ours = {moment["name"]: moment for moment in told[place] if moment["terms"]}
        assert ours.keys() >= {moment.name for moment in moments if moment.terms}, c
        for moment in moments:
            if not moment.terms:
                continue
            shown = ours[moment.name]
            for field in ("total", "least", "most"):
                assert shown[field] == pytest.approx(getattr(moment, field), rel=1e-7, abs=4096), c
            for term in moment.terms:
                if term.most == 0:
                    continue
                like = [t for t in shown["terms"] if t["part"] == term.part]
                assert any(t["bytes"] == pytest.approx(term.bytes, rel=1e-7, abs=4096) for t in like), c


@pytest.mark.parametrize("name", ["full", "two nodes", "every other"])
def test_the_spec_of_a_choice_is_the_one_that_plan_writes(name: str) -> None:
    plan, data, engine = plan_of(name), data_of(page_of(name)), engine_of(name)
    draw, seen = random.Random(5), 0
    while seen < 50:
        c = choice(data, draw)
        job = plan.job._replace(sequence=c["sequence"], global_batch=c["global"])
        if reasons(job, c):
            continue
        seen += 1
        _, candidate = asked(plan, c)
        spec = whole_spec(job, candidate, plan.name)
        assert engine.call("specOf", c) == to_yaml(spec)
        assert load_mapping(spec).spec.zero, "it can be loaded as it stands"


def test_reasons_are_those_of_the_search() -> None:
    data, engine = data_of(page_of("full")), engine_of("full")
    start = {**data["start"], "bf16": True}

    def against(**changed: Any) -> list[str]:
        found: list[str] = engine.call("against", {**start, "tp": 1, "ulysses": 1, **changed})
        return found

    assert against() == []
    job = plan_of("full").job
    assert against(tp=8) == [f"tp 8: {against_tp(job, 8)}"]
    assert against(ulysses=8) == [f"ulysses 8: {against_ulysses(job, 8)}"]
    odd = job._replace(sequence=2049)
    assert against(ulysses=2, sequence=2049) == [f"ulysses 2: {against_ulysses(odd, 2)}"]
    assert against(stage=3, tp=2) == [against_stage(job, 3, 2)]
    assert against(stage=1, optimizer="nvme") == [against_offload(1, "nvme", "")]
    (batch,) = against(**{"global": 33})
    assert batch == "a global batch of 33 does not divide by 8 data-parallel ranks; 32 would"
    (micro,) = against(micro=3)
    assert micro == "a micro batch of 3 does not divide the 4 sequences of a rank; 1, 2, 4 would"
    assert against(micro=0) == ["the micro batch is a whole number, 1 or more"]


def test_what_a_framework_refuses_is_told_in_its_words() -> None:
    question = QUESTIONS["full"]
    plan = answer(Asked(question, Wanted(), Files(), target="xtuner"))
    assert plan.refuses is not None
    text = page(plan)
    data, engine = data_of(text), Engine(text)
    assert data["refused"]
    start = {**data["start"], "bf16": True, "ulysses": 1}
    for tp in (1, 2):
        layout = {**start, "stage": 1, "tp": tp, "optimizer": "", "param": ""}
        why = plan.refuses(Candidate(1, tp=tp))
        assert engine.call("against", layout) == ([why] if why else [])
    assert plan.refuses(Candidate(1, tp=2)).startswith("xtuner: ")
