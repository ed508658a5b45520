"""A plan as one HTML page that needs nothing beside itself."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from string import Template
from typing import Any

from dsbridge.planning.telling import Plan
from dsbridge.report.form import form, result, spec
from dsbridge.report.layouts import collectives, memory_chart, other_chart, time_parts, traffic_table
from dsbridge.report.markup import Html, embedded, joined, tag
from dsbridge.report.rows import OPEN, Row, rows
from dsbridge.report.sections import answer, assumed, facts, model_name, ruled_out, spec_text, why
from dsbridge.report.whatif import whatif
from dsbridge.version import __version__


def page(plan: Plan) -> str:
    """The whole page."""
    found = rows(plan)
    data = whatif(plan, found)
    style, script = _file("page.css"), _file("recompute.js") + _file("page.js")
    chapters = sections(plan, found, data)
    return Template(_file("page.html")).substitute(
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
        title=joined(f"{model_name(plan)}: which layout fits"),
        answer=answer(plan),
        facts=facts(plan),
        assumed=assumed(plan) or "",
        links=joined(*(tag("a", title, href=f"#{name}") for name, title, _ in chapters)),
        sections="\n".join(_section(*chapter) for chapter in chapters),
        data=embedded(data),
        version=joined(__version__),
    )


def sections(plan: Plan, found: list[Row], data: dict[str, Any]) -> list[tuple[str, str, Html]]:
    """Every chapter: its anchor, its title, and what stands in it."""
    shown = found[:OPEN]
    chapters = [("memory", "Memory of a GPU", memory_chart(plan, found))]
    for place, title in (("host", "Memory of a host"), ("nvme", "Disks of a node")):
        if chart := other_chart(plan, found, place):
            chapters.append((place, title, chart))
    chapters.append(("what-if", "What if", joined(_form_note(), form(data), result())))
    more = joined(
        _folded("what the time is made of", time_parts(shown)), _folded("collectives", collectives(shown))
    )
    chapters.append(("traffic", "Communication and time", joined(traffic_table(plan, found), more)))
    chapters.append(("why", "Why", joined(why(plan), ruled_out(plan))))
    if text := spec_text(plan):
        note = tag(
            "p", "Save it as dsbridge.yaml; dsbridge render writes each framework's own files from it."
        )
        chapters.append(("spec", "The spec", joined(note, spec("best-spec", text))))
    return chapters


def _form_note() -> Html:
    text = "Change the layout, and the page recomputes its memory, what it moves, and its step time."
    return tag("p", text, id="form-note", class_="note")


def _folded(title: str, inner: Html) -> Html:
    return tag("details", tag("summary", title), inner)


def _section(name: str, title: str, inner: Html) -> Html:
    scripted = name == "what-if"
    return tag(
        "section",
        tag("h2", title, id=f"{name}-title"),
        inner,
        id=name,
        aria_labelledby=f"{name}-title",
        hidden=scripted,
    )


def _file(name: str) -> str:
    return (files("dsbridge.report") / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
