"""The words of the page: what was asked, the answer, why, and the spec."""

from __future__ import annotations

from dsbridge.formats.yaml_text import to_yaml
from dsbridge.planner.candidate import name_of
from dsbridge.planner.job import Job
from dsbridge.planner.search import Weighed
from dsbridge.planner.tuning import trained
from dsbridge.planning.ladder import Rung, rungs, story
from dsbridge.planning.specs import whole_spec
from dsbridge.planning.telling import Plan
from dsbridge.report.layouts import seconds
from dsbridge.report.markup import Html, gib, joined, table, tag
from dsbridge.report.rows import batch_of, chip

NONE_FITS = "No layout fits: more GPUs, a shorter sequence, LoRA, or a fused loss would help."


def model_name(plan: Plan) -> str:
    """As the user wrote it, else as its config does."""
    return plan.name or plan.job.shape.name or plan.job.shape.model_type


def answer(plan: Plan) -> Html:
    """The best layout, and the user's own."""
    best = plan.found.best
    boxes = []
    if plan.given:
        boxes.append(_box("Your layout", plan.given))
    if best:
        boxes.append(_box("Chosen: of the fastest that fit, the simplest", best))
    else:
        boxes.append(tag("div", tag("h2", "No layout fits"), tag("p", NONE_FITS), class_="box"))
    return tag("div", *boxes, class_="boxes")


def _box(title: str, one: Weighed) -> Html:
    spare = f"{gib(abs(one.lacking))} GiB {'to spare' if one.lacking <= 0 else 'too much'}"
    return tag(
        "div",
        tag("h2", title),
        tag("p", tag("b", name_of(one.candidate)), " ", chip(one), class_="big"),
        tag("p", batch_of(one.candidate)),
        tag(
            "p",
            f"{gib(one.memory.peak.total)} GiB of a GPU at its peak, {spare}; "
            f"{seconds(one.time.total)} seconds a step",
        ),
        class_="box",
    )


def facts(plan: Plan) -> Html:
    """Model, machines, job."""
    pairs = [
        ("Model", model_text(plan)),
        ("Machines", machines_text(plan.job)),
        ("Job", job_text(plan.job)),
        ("Looked at", f"{plan.found.looked_at:,} layouts"),
    ]
    return tag("dl", *(joined(tag("dt", key), tag("dd", text)) for key, text in pairs), class_="facts")


def model_text(plan: Plan) -> str:
    """The model and what of it is trained."""
    job = plan.job
    counts = trained(job.shape, job.method)
    how = "all trained" if not counts.frozen else f"{count(counts.trainable)} trained"
    active = f", {count(job.shape.active)} work on a token" if job.shape.active != job.shape.total else ""
    scheme = f", base quantised as {job.scheme}" if job.scheme else ""
    return f"{model_name(plan)}: {count(job.shape.total)} parameters{active}, {how}{scheme}, {job.dtype}"


def machines_text(job: Job) -> str:
    """GPUs and links."""
    c = job.cluster
    nodes = f"{c.nodes} nodes of " if c.nodes > 1 else ""
    between = f", {c.adapters} x {c.inter.name} between nodes" if c.nodes > 1 else ""
    host = f", host memory of a node {gib(c.host_memory)} GiB" if c.host_memory else ""
    gpus = f"{nodes}{c.per_node} x {c.gpu.name} ({gib(c.gpu.memory)} GiB)"
    return f"{gpus}, {c.intra.name} inside a node{between}{host}"


def job_text(job: Job) -> str:
    """What a step trains."""
    batch = f"sequences of {job.sequence:,} tokens, {job.global_batch:,} an optimizer step"
    release = ".".join(map(str, job.deepspeed))
    return f"{batch}; attention {job.attention}, loss {job.loss}; DeepSpeed {release}"


def assumed(plan: Plan) -> Html | None:
    """What nobody said, and other notes."""
    if not plan.diagnostics:
        return None
    lines = [
        tag("li", each.message, ". " if each.hint else None, each.hint or None) for each in plan.diagnostics
    ]
    return joined(tag("h2", "Assumed"), tag("ul", *lines))


def why(plan: Plan) -> Html:
    """The ladder, rung by rung, and what it comes to."""
    known = {rung.name: rung for rung in rungs(plan.found.ranked)}
    told = [(known.get(line.partition(": ")[0]), line) for line in story(plan.found)]
    return joined(
        *(tag("p", f"{line}.", class_="big") for rung, line in told if rung is None),
        tag("p", "DeepSpeed's own ladder, from what slows least to what saves most:"),
        tag("ol", *(_rung(rung, line) for rung, line in told if rung), class_="ladder"),
    )


def _rung(rung: Rung, line: str) -> Html:
    verdict = (rung.fastest or rung.smallest).verdict.replace(" ", "-")
    return tag("li", tag("b", rung.name), line.removeprefix(rung.name), class_=verdict)


def ruled_out(plan: Plan) -> Html | None:
    """What was not looked at, by reason."""
    groups: dict[str, list[str]] = {}
    for one in plan.found.ruled_out:
        groups.setdefault(one.why, []).append(one.what)
    if not groups:
        return None
    lines = [(reason, "; ".join(dict.fromkeys(what))) for reason, what in groups.items()]
    return table("Not looked at", ("why", "layouts"), lines)


def spec_text(plan: Plan) -> str:
    """The dsbridge.yaml of the best layout; "" where none fits."""
    best = plan.found.best
    return to_yaml(whole_spec(plan.job, best.candidate, plan.name)) if best else ""


def count(parameters: int) -> str:
    """Of parameters."""
    for size, letter in ((10**9, "B"), (10**6, "M")):
        if parameters >= size:
            return f"{parameters / size:.2f} {letter}"
    return f"{parameters:,}"
