"""The what-if form, as it stands before anybody touches it; the page's script does the rest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dsbridge.report.bars import HEIGHT
from dsbridge.report.markup import GIB, Html, tag

_DEVICES = (("", "the GPUs"), ("cpu", "the host (cpu)"), ("nvme", "NVMe"))


def form(data: dict[str, Any]) -> Html:
    """All fields, with the values of the layout that it starts from."""
    start, choices = data["start"], data["choices"]
    gpus = [(name, f"{name} ({memory / GIB:.1f} GiB)") for name, memory, _ in data["gpus"]]
    fields = [
        _select("stage", "ZeRO stage", [(n, str(n)) for n in range(4)], start["stage"]),
        _select("optimizer", "Optimizer states on", _DEVICES, start["optimizer"]),
        _select("param", "Parameters on", _DEVICES, start["param"]),
        _select("tp", "Tensor parallel (AutoTP)", _plain(choices["tp"]), start["tp"]),
        _select("ulysses", "Ulysses", _plain(choices["ulysses"]), start["ulysses"]),
        _select(
            "checkpointing",
            "Activation checkpointing",
            [(way, {"full": "yes", "none": "no"}.get(way, way)) for way in choices["checkpointing"]],
            start["checkpointing"],
        ),
        _number("micro", "Micro batch of a rank", start["micro"]),
        _number("accumulation", "Accumulation steps", start["accumulation"]),
        _number("global", "Global batch", start["global"]),
        _number("sequence", "Sequence length, tokens", start["sequence"]),
        _select("gpu", "GPU", [*gpus, ("", "another")], start["gpu"]),
        _number("room", "GPU memory, GiB", round(start["room"] / GIB, 2), step="any"),
    ]
    return tag("form", *fields, id="form", autocomplete="off", aria_describedby="form-note")


def result() -> Html:
    """Where the script tells what comes of it."""
    bar = tag(
        "svg",
        id="result-bar",
        class_="bar stacked",
        role="img",
        tabindex="0",
        height=HEIGHT,
        data_tip="result",
    )
    return tag(
        "div",
        tag("p", id="result-head", class_="big", aria_live="polite"),
        tag("ul", id="result-why", class_="against"),
        bar,
        tag("p", id="result-more"),
        tag("details", tag("summary", "parts and formulas"), tag("div", id="result-parts"), class_="parts"),
        tag("details", tag("summary", "its spec, ready to copy"), spec("result-spec", ""), class_="parts"),
        class_="result",
    )


def spec(name: str, text: str) -> Html:
    """Text to copy, and a button that does."""
    button = tag("button", "Copy", type="button", class_="copy", data_copy=name, hidden=True)
    return tag(
        "div",
        button,
        tag("pre", tag("code", text), id=name, tabindex="0", aria_label="dsbridge.yaml"),
        class_="spec",
    )


def _plain(values: Iterable[int]) -> list[tuple[int, str]]:
    return [(value, str(value)) for value in values]


def _select(name: str, label: str, options: Iterable[tuple[Any, str]], chosen: Any) -> Html:
    items = [tag("option", text, value=value, selected=value == chosen) for value, text in options]
    return tag("label", tag("span", label), tag("select", *items, name=name))


def _number(name: str, label: str, value: float, step: str = "1") -> Html:
    box = tag(
        "input",
        type="number",
        name=name,
        value=f"{value:g}" if step == "any" else value,
        min=1,
        step=step,
        inputmode="decimal",
    )
    return tag("label", tag("span", label), box)
