"""The charts: memory of each layout by part, what it moves, and how long a step takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dsbridge.planner.terms import Moment, Range
from dsbridge.planning.telling import Plan
from dsbridge.report.bars import (
    Scale,
    axis,
    memory_bar,
    plain_bar,
    range_bar,
    room_label,
    scale_of,
)
from dsbridge.report.groups import GROUPS
from dsbridge.report.markup import Html, gib, joined, table, tag
from dsbridge.report.rows import OPEN, Row, chip

GB = 1e9
NAMED = 3  # layouts that one bar names beside the first
_TITLES = {"gpu": "GPU", "host": "host", "nvme": "NVMe"}


def legend() -> Html:
    """Colours by group, and the marks."""
    keys = [
        tag("li", tag("span", class_=f"key g{number}"), group.name) for number, group in enumerate(GROUPS)
    ]
    mark = tag("li", tag("span", class_="key bounds"), "lower and upper bound")
    return tag("ul", *keys, mark, class_="legend", aria_label="Legend")


def memory_chart(plan: Plan, found: Sequence[Row]) -> Html:
    """One stacked bar a layout at its peak on a GPU, against the GPU's memory."""
    room = plan.job.cluster.gpu.memory
    scale = scale_of((row.most for row in found[:OPEN]), room)
    label = f"{plan.job.cluster.gpu.name}: {gib(room)} GiB"
    shown = [_memory_row(row, "gpu", scale, with_parts=i < OPEN) for i, row in enumerate(found)]
    return joined(legend(), _chart(shown, scale, label))


def other_chart(plan: Plan, found: Sequence[Row], place: str) -> Html | None:
    """The same of a node's host or disks, one bar for all that hold the same there; None where nothing is."""
    alike: dict[Moment, list[Row]] = {}
    for row in found:
        if row.moment(place).terms:
            alike.setdefault(row.moment(place), []).append(row)
    if not alike:
        return None
    holding = [rows[0] for rows in alike.values()]
    room = plan.job.cluster.host_memory if place == "host" else None
    scale = scale_of((row.most_of(place) for row in holding[:OPEN]), room)
    label = f"memory of a node: {gib(room)} GiB" if room else ""
    shown = [
        _memory_row(rows[0], place, scale, with_parts=i < OPEN, others=rows[1:])
        for i, rows in enumerate(alike.values())
    ]
    return _chart(shown, scale, label)


def _chart(shown: list[Html], scale: Scale, label: str) -> Html:
    top, foot = room_label(scale, label), axis(scale)
    unit = tag("p", "GiB", class_="unit")
    first = tag("div", top, tag("ol", *shown[:OPEN], class_="rows"), foot, unit, class_="chart")
    rest = shown[OPEN:]
    if not rest:
        return first
    more = tag("div", tag("ol", *rest, class_="rows"), axis(scale), unit, class_="chart")
    return joined(first, tag("details", tag("summary", f"{len(rest)} more kinds of layout"), more))


def _memory_row(row: Row, place: str, scale: Scale, *, with_parts: bool, others: Sequence[Row] = ()) -> Html:
    moment, most = row.moment(place), row.most_of(place)
    span = f" ({gib(min(moment.least, most))} to {gib(most)})" if most - moment.least > 2**25 else ""
    told = row.batch
    if others:
        names = [other.name for other in others[:NAMED]]
        if len(others) > NAMED:
            names.append(f"{len(others) - NAMED} more kinds")
        told = f"the same of {'; '.join(names)}"
    if place == "gpu" and row.one.reasons:
        told += f"; {'; '.join(row.one.reasons)}"
    head = tag(
        "div",
        tag("span", row.mark, class_="mark yours" if row.mark == "yours" else "mark"),
        tag("span", tag("b", row.name), " ", tag("span", told, class_="sub"), class_="name"),
        tag("span", tag("b", gib(moment.total)), f" GiB{span}", class_="num"),
        chip(row.one) if place == "gpu" else None,
        class_="head",
    )
    bar = memory_bar(moment, most, scale, row.name, f"{place}{row.number}")
    parts = _parts(row, place) if with_parts else None
    return tag("li", head, bar, parts)


def _parts(row: Row, place: str) -> Html:
    moments: tuple[Moment, ...] = getattr(row.one.memory, place)
    peak = row.moment(place)
    inner = [_part_table(row, peak)]
    if len(moments) > 1:
        totals = [(m.name, gib(m.total), f"{gib(m.least)} to {gib(m.most)}") for m in moments]
        inner.append(table("Every moment", ("moment", "GiB", "range"), totals))
    return tag("details", tag("summary", "parts and formulas"), *inner, class_="parts")


def _part_table(row: Row, moment: Moment) -> Html:
    lines = [
        (t.part, gib(t.bytes), _span(t.least, t.most), t.formula.text)
        for t in sorted(moment.terms, key=lambda t: -t.bytes)
    ]
    caption = f"{row.name}, {moment.name}: {gib(moment.total)} GiB"
    return table(caption, ("part", "GiB", "range", "formula"), lines, "formulas")


def _span(low: float, high: float) -> str:
    return "" if high - low < 2**20 else f"{gib(low)} to {gib(high)}"


def traffic_table(plan: Plan, found: Sequence[Row]) -> Html:
    """What an optimizer step moves and how long it takes, as bars in a table."""
    columns = [
        ("GB that a GPU sends inside its node", "inside"),
        ("GB that a node sends to others", "between"),
        ("GB of a GPU to and from its host", "pcie"),
    ]
    if plan.job.cluster.nodes == 1:
        del columns[1]
    if not any(row.one.communication.pcie for row in found):
        columns.pop()
    scales = {
        field: scale_of((getattr(row.one.communication, field) for row in found), None)
        for _, field in columns
    }
    slowest = scale_of((row.one.time.total.high for row in found), None)
    lines = [[_layout_cell(row), *_traffic_cells(row, columns, scales, slowest)] for row in found]
    head = ("layout", *(name for name, _ in columns), "step, seconds")
    caption = "Moved in an optimizer step, and how long the step takes"
    first = table(caption, head, lines[:OPEN], "traffic")
    if len(lines) <= OPEN:
        return first
    rest = table(f"{caption}: more kinds", head, lines[OPEN:], "traffic")
    return joined(first, tag("details", tag("summary", f"{len(lines) - OPEN} more kinds of layout"), rest))


def _layout_cell(row: Row) -> Html:
    return joined(tag("b", row.name), " ", tag("span", row.batch, class_="sub"))


def _traffic_cells(
    row: Row, columns: list[tuple[str, str]], scales: dict[str, Scale], slowest: Scale
) -> Iterator[Html]:
    for name, field in columns:
        value = getattr(row.one.communication, field)
        text = amount(value / GB)
        label = f"{row.name}, {name}: {text}"
        yield joined(tag("span", text, class_="num"), plain_bar(value, scales[field], label, field))
    time = row.one.time.total
    text = seconds(time)
    label = f"{row.name}: {text} seconds a step"
    yield joined(tag("span", text, class_="num"), range_bar(time.low, time.high, slowest, label))


def time_parts(found: Sequence[Row]) -> Html:
    """What the time of a step is made of."""
    names = ("compute", "data_parallel", "tensor_parallel", "sequence_parallel", "offload", "total")
    lines = [[_layout_cell(row), *(seconds(getattr(row.one.time, name)) for name in names)] for row in found]
    head = ("layout", *(name.replace("_", " ") for name in names))
    return table("Seconds of a step, from all overlapping that can to nothing overlapping", head, lines)


def collectives(found: Sequence[Row]) -> Html:
    """Elements of each rank, as DeepSpeed hands them to the collective."""
    lines = [
        (row.name, group, kind.replace("_", " "), dtype, f"{elements:,}")
        for row in found
        for (group, kind, dtype), elements in row.one.communication.elements.items()
    ]
    head = ("layout", "group", "collective", "dtype", "elements of a rank")
    return table("Collectives of an optimizer step", head, lines)


def seconds(time: Range) -> str:
    """As the terminal tells it."""
    if time.high <= 0:
        return "0"
    return f"{amount(time.low)} to {amount(time.high)}"


def amount(value: float) -> str:
    """Two digits that matter, never an exponent."""
    if value == 0:
        return "0"
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}" if value >= 1 else f"{value:.2g}"
