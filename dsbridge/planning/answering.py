"""The plan pass: a question, and perhaps the user's own files, to an answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dsbridge.diagnostics import Diagnostic
from dsbridge.planner import estimators
from dsbridge.planner.candidate import Candidate
from dsbridge.planner.candidates import (
    EVERY_NTH_SINCE,
    Wanted,
    against_spacing,
    against_stage,
    against_tp,
    against_ulysses,
)
from dsbridge.planner.errors import PlanError
from dsbridge.planner.job import Job
from dsbridge.planner.loading import model_config
from dsbridge.planner.quantised import FOUR_BIT
from dsbridge.planner.search import Weighed, distinct, search, weigh
from dsbridge.planning.given import NO_LAYOUT, Own, own
from dsbridge.planning.question import ASSUMED, EVERY_NTH, Question, job_of, nodes_of, over, refused, shape_of
from dsbridge.planning.specs import whole_spec
from dsbridge.planning.targets import reentrant, trains
from dsbridge.planning.telling import Plan
from dsbridge.reading import Files


class Asked(NamedTuple):
    """A command line: its options, and the input that it names. facts, versions: as for explain."""

    question: Question
    wanted: Wanted
    files: Files
    given: Sequence[str] = ()
    command: Sequence[str] = ()
    target: str = ""
    facts: Mapping[str, Any] = {}
    versions: Mapping[str, str] = {}


class Estimated(NamedTuple):
    """One stage of DeepSpeed's estimators: what they print, and the rows."""

    stage: int
    text: str
    rows: tuple[estimators.Estimate, ...]


def answer(asked: Asked) -> Plan:
    """The layouts of what is asked, best first, and the user's own.

    Raises:
        InputError: the question makes no sense, or the input cannot be read.
    """
    theirs = _own(asked)
    question = over(asked.question, _spread(asked.question, theirs.question))
    try:
        job, assumed = job_of(question)
        target = asked.target or theirs.framework
        kind = reentrant(target, question.transformers or job.shape.transformers, question.reentrant)
        job = job._replace(reentrant=kind)
        untrainable = tuple(_untrainable(job, theirs.candidate)) if theirs.candidate else ()
        given = weigh(job, theirs.candidate) if theirs.candidate and not untrainable else None
        name = model_name(question, job)
        refuses = trains(job, name, target) if target else None
        found = search(job, asked.wanted, refuses)
    except PlanError as error:
        raise refused(error) from error
    unsaid = tuple(_kept_whole(job)) if question.reentrant is None else ()
    told = (*theirs.diagnostics, *untrainable, *assumed, *unsaid, *_some_layers(asked.wanted))
    return Plan(job, found, given, name, told, refuses)


def _kept_whole(job: Job) -> Iterator[Diagnostic]:
    """That 4-bit weights stay unpacked under stage 3 hangs on a setting that nobody has said."""
    if job.scheme in FOUR_BIT and not job.reentrant:
        message = "checkpointing that is not reentrant is assumed, as Transformers 5 does it by default"
        hint = "Under stage 3 it keeps all 4-bit weights unpacked; use_reentrant: true does not."
        yield ASSUMED(message, hint=hint)


def _some_layers(wanted: Wanted) -> Iterator[Diagnostic]:
    if wanted.spacing > 1:
        since = ".".join(map(str, EVERY_NTH_SINCE))
        who = f"the Trainer alone does that, with Transformers {since} or newer"
        message = f"one layer in {wanted.spacing} is checkpointed: {who}"
        yield EVERY_NTH(message, hint="In the spec: frameworks.trainer.gradient_checkpointing_kwargs.")


def _spread(asked: Question, theirs: Question) -> Question:
    """Their nodes, but not those of a launch of one process each, where only the number of GPUs is asked."""
    alone = theirs.nodes is not None and theirs.nodes > 1 and theirs.gpus == theirs.nodes
    return theirs._replace(nodes=None) if asked.gpus and asked.nodes is None and alone else theirs


def _untrainable(job: Job, candidate: Candidate) -> Iterator[Diagnostic]:
    """Why the input's own layout is none that can be weighed."""
    c = candidate
    for what, why in (
        (f"tp {c.tp}", against_tp(job, c.tp)),
        (f"ulysses {c.ulysses}", against_ulysses(job, c.ulysses, c.tp)),
        (f"stage {c.stage}", against_stage(job, c.stage, c.tp) if c.tp > 1 else ""),
        (f"checkpointing {c.checkpointing}", against_spacing(job, c.spacing)),
    ):
        if why:
            message = f"the input's own layout is not weighed, for {what}: {why}"
            yield NO_LAYOUT(message, hint="dsbridge check tells whether it trains.")


def model_name(question: Question, job: Job) -> str:
    """The model as a spec names it: the path that was given, else the name that its makers gave it."""
    own = question.name or ""
    return own if not own or Path(own).exists() else job.shape.name


def estimates(asked: Asked) -> list[Estimated]:
    """What DeepSpeed's own estimators say of the model on these GPUs, stage 2 and 3.

    Raises:
        InputError: the model or the number of GPUs is not said.
    """
    question = over(asked.question, _own(asked).question)
    try:
        shape = shape_of(question)
        nodes, per_node = nodes_of(question)
    except PlanError as error:
        raise refused(error) from error
    total, largest = shape.total, shape.largest_module[1]
    found = list(estimators.rows(total, largest, per_node, nodes))
    return [
        Estimated(stage, estimators.printed(stage, total, largest, per_node, nodes),
                  tuple(row for row in found if row.stage == stage))
        for stage in (2, 3)
    ]  # fmt: skip


def _own(asked: Asked) -> Own:
    if not asked.given and not asked.command:
        return Own(Question(), None)
    facts = dict(asked.facts)
    if asked.question.model is not None:
        try:
            facts["model"] = model_config(asked.question.model)[1]
        except PlanError as error:
            raise refused(error) from error
    return own(
        asked.files, asked.given, asked.command, target=asked.target, facts=facts, versions=asked.versions,
        micro=asked.wanted.micro, checkpointing=asked.wanted.checkpointing, whole=asked.question.global_batch,
    )  # fmt: skip


def shown(plan: Plan, top: int, *, everything: bool = False) -> list[Weighed]:
    """The user's own layout, and the best `top` others, one of each kind unless everything is asked."""
    others = plan.found.ranked if everything else distinct(plan.found.ranked)
    same = plan.given.candidate if plan.given else None
    best = [one for one in others if one.candidate != same][:top]
    return [plan.given, *best] if plan.given else best


def chosen_spec(plan: Plan) -> dict[str, Any]:
    """The spec of the best layout.

    Raises:
        InputError: none fits.
    """
    best = plan.found.best
    if best is None:
        error = PlanError("no layout fits, so there is no spec to write", "see what dsbridge plan tells")
        raise refused(error)
    return whole_spec(plan.job, best.candidate, plan.name)
