"""A plan in words: what was asked, the layouts with bars, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dsbridge.cli.story import paint
from dsbridge.planner.candidate import name_of
from dsbridge.planner.job import Job
from dsbridge.planner.search import FITS, TIGHT, Weighed
from dsbridge.planner.terms import Moment, Range
from dsbridge.planner.tuning import trained
from dsbridge.planning.ladder import GIB, digits, story
from dsbridge.planning.telling import Plan, largest

WIDTH = 24
# groups of parts in the bar, with their sign and colour; what none of them names is the last one's
GROUPS = (
    ("model states", "#", "blue", ("parameters", "gradients", "master", "optimizer", "states", "quantised")),
    ("activations", "=", "green", ("activation", "checkpoint")),
    ("logits", "+", "magenta", ("logits", "loss")),
    ("buffers and the rest", ".", "yellow", ()),
)
_COLOURS = {FITS: "green", TIGHT: "yellow"}


def lines(plan: Plan, layouts: Sequence[Weighed]) -> list[str]:
    """The whole page."""
    told = [*_head(plan), "", *_table(plan, layouts), "", _legend()]
    unsure = dict.fromkeys(text for one in layouts for text in one.communication.unmeasured)
    told += [f"not measured: {text}" for text in unsure]
    told += ["", "Why:", *(f"  {line}" for line in story(plan.found))]
    out = list(_ruled(plan))
    if out:
        told += ["", "Not looked at:", *(f"  {line}" for line in out)]
    if plan.found.best is None:
        told += ["", "No layout fits: more GPUs, a shorter sequence, LoRA, or a fused loss would help."]
    return told


def _head(plan: Plan) -> Iterator[str]:
    job = plan.job
    counts = trained(job.shape, job.method)
    name = plan.name or job.shape.name
    how = "all trained" if not counts.frozen else f"{_count(counts.trainable)} trained"
    scheme = f", {job.scheme}" if job.scheme else ""
    yield f"{name}: {_count(job.shape.total)} parameters, {how}{scheme}, {job.dtype}"
    yield _machines(job)
    steps = f"sequences of {job.sequence} tokens, {job.global_batch} an optimizer step"
    yield f"{steps}; DeepSpeed {'.'.join(map(str, job.deepspeed))}; {plan.found.looked_at} layouts looked at"


def _machines(job: Job) -> str:
    c = job.cluster
    nodes = f"{c.nodes} nodes x " if c.nodes > 1 else ""
    between = f", {c.adapters} x {c.inter.name} between nodes" if c.nodes > 1 else ""
    return f"{nodes}{c.per_node} x {c.gpu.name} ({c.gpu.memory / GIB:.1f} GiB), {c.intra.name}{between}"


def _table(plan: Plan, layouts: Sequence[Weighed]) -> Iterator[str]:
    several = plan.job.cluster.nodes > 1
    rows = [("", "layout", "batch", "ckpt", "GPU GiB", "bar", "step s", _moved_title(several), "")]
    for number, one in enumerate(layouts, 1):
        c = one.candidate
        mark = "you" if one is plan.given else str(number if plan.given is None else number - 1)
        checkpointing = ("-", "yes")[c.spacing] if c.spacing < 2 else c.checkpointing
        batch = f"{c.micro} x {c.accumulation}"
        rows.append(
            (
                mark,
                name_of(c),
                batch,
                checkpointing,
                _gib(one),
                "",
                _seconds(one.time.total),
                _moved(one, several),
                _verdict(one),
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    widths[5] = WIDTH
    for at, row in enumerate(rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        if at:
            cells[5] = bar(layouts[at - 1].memory.peak, plan.job.cluster.gpu.memory)
            cells[-1] = paint(row[-1], _COLOURS.get(layouts[at - 1].verdict, "red"))
        yield "  ".join(cells).rstrip()


def _gib(one: Weighed) -> str:
    peak = one.memory.peak
    most = max(moment.most for moment in one.memory.gpu)
    return f"{peak.total / GIB:.1f} ({peak.least / GIB:.1f}-{most / GIB:.1f})"


def _moved_title(several: bool) -> str:
    return "GB sent: GPU / node" if several else "GB sent by a GPU"


def _moved(one: Weighed, several: bool) -> str:
    """What a GPU sends inside its node in a step, and a node to others."""
    moved = one.communication
    inside = f"{moved.inside / 1e9:.1f}"
    return f"{inside} / {moved.between / 1e9:.1f}" if several else inside


def _seconds(time: Range) -> str:
    return f"{digits(time.low)}-{digits(time.high)}"


def _verdict(one: Weighed) -> str:
    if one.verdict == FITS:
        return "fits"
    if one.verdict == TIGHT:
        return "tight"
    return f"too large by {one.lacking / GIB:.1f} GiB"


def group_of(part: str) -> int:
    """The number of the bar's group that a part of the memory is in."""
    found = (i for i, (_, _, _, words) in enumerate(GROUPS) if any(part.startswith(w) for w in words))
    return next(found, len(GROUPS) - 1)


def bar(moment: Moment, room: int) -> str:
    """A bar as wide as the GPU's memory; what does not fit ends in `>`."""
    held = [0.0] * len(GROUPS)
    for term in moment.terms:
        held[group_of(term.part)] += term.bytes
    cells, end, shown = 0, 0.0, ""
    for bytes_, (_, sign, colour, _) in zip(held, GROUPS, strict=True):
        end += bytes_
        upto = min(WIDTH, round(WIDTH * end / room))
        shown += paint(sign * (upto - cells), colour)
        cells = max(cells, upto)
    if end > room:
        return f"|{shown}>"
    return f"|{shown}{' ' * (WIDTH - cells)}|"


def _legend() -> str:
    return "bar: " + ", ".join(f"{paint(sign, colour)} {name}" for name, sign, colour, _ in GROUPS)


def parts(plan: Plan) -> list[str]:
    """Every part of the memory of the user's own layout, else of the best, else of the smallest."""
    one = plan.given or plan.found.best or plan.found.ranked[0]
    told = ["", f"{name_of(one.candidate)}, part by part (GiB):"]
    for place, moments in (("GPU", one.memory.gpu), ("host", one.memory.host), ("NVMe", one.memory.nvme)):
        for moment in moments:
            if not moment.terms:
                continue
            told.append(f"  {place}, {moment.name}: {moment.total / GIB:.2f}")
            for term in sorted(moment.terms, key=lambda term: -term.bytes):
                span = "" if term.least == term.most else f" ({term.least / GIB:.2f}-{term.most / GIB:.2f})"
                told.append(f"    {term.bytes / GIB:9.3f}  {term.part}{span}: {term.formula.text}")
                told.append(f"               {term.formula.source}")
    host = largest(one.memory.host)
    return [*told, *([] if host.terms else ["  host: nothing of note"])]


def _ruled(plan: Plan) -> Iterator[str]:
    groups: dict[str, list[str]] = {}
    for one in plan.found.ruled_out:
        groups.setdefault(one.why, []).append(one.what)
    for why, what in groups.items():
        yield f"{'; '.join(dict.fromkeys(what))}: {why}"


def _count(parameters: int) -> str:
    for size, letter in ((10**9, "B"), (10**6, "M")):
        if parameters >= size:
            return f"{parameters / size:.2f} {letter}"
    return str(parameters)
