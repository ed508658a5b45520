"""Pages of real plans, read as a browser would: elements, the embedded data, the script."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from typing import Any

from py_mini_racer import MiniRacer

from dsbridge.planner.candidates import Wanted
from dsbridge.planning.answering import Asked, answer
from dsbridge.planning.question import Question
from dsbridge.planning.telling import Plan
from dsbridge.reading import Files
from dsbridge.report.page import page

VOID = {"meta", "link", "input", "br", "hr", "col", "img"}
QUESTIONS = {
    "full": Question(model="Qwen/Qwen2.5-7B-Instruct", gpus=8, gpu="h100-80gb", host_memory=2**40),
    "two nodes": Question(
        model="meta-llama/Llama-3.1-70B", gpus=16, gpu="a100-80gb", method="lora", sequence=4096
    ),
    "too large": Question(model="meta-llama/Llama-3.1-70B", gpus=4, gpu="a100-80gb", host_memory=2**36),
    "window": Question(model="mistralai/Mistral-7B-v0.1", gpus=8, gpu="l40s", method="qlora", sequence=8192),
    "eager": Question(model="Qwen/Qwen2.5-1.5B", gpus=2, gpu="l40s", attention="eager"),
    "every other": Question(model="Qwen/Qwen2.5-1.5B", gpus=4, gpu="h100-80gb", method="lora"),
}
WANTED = {"every other": Wanted(checkpointing="every 2")}


@cache
def plan_of(name: str) -> Plan:
    """A plan of QUESTIONS."""
    question = QUESTIONS[name]
    return answer(Asked(question._replace(name=str(question.model)), WANTED.get(name, Wanted()), Files({})))


@cache
def page_of(name: str) -> str:
    """Its page."""
    return page(plan_of(name))


@dataclass
class Element:
    """A tag with its attributes, and the text that stands right in it."""

    tag: str
    attributes: dict[str, str]
    text: str = ""


@dataclass
class Read(HTMLParser):
    """A page, element by element; `wrong` is what a browser would have to mend."""

    elements: list[Element] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    _open: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if len({name for name, _ in attrs}) < len(attrs):
            self.wrong.append(f"an attribute twice in {tag}")
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop().tag != tag:
            self.wrong.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        if self._open:
            self._open[-1].text += data

    def every(self, tag: str) -> list[Element]:
        return [element for element in self.elements if element.tag == tag]


def read(text: str) -> Read:
    """Parse a page."""
    found = Read()
    found.feed(text)
    found.close()
    found.wrong += [f"<{element.tag}> is left open" for element in found._open]
    return found


def data_of(text: str) -> Any:
    """The JSON that a page carries."""
    (element,) = [e for e in read(text).every("script") if e.attributes.get("type") == "application/json"]
    return json.loads(element.text)


class Engine:
    """A page's own script in V8, as far as it needs no page."""

    def __init__(self, text: str) -> None:
        (element,) = [e for e in read(text).every("script") if "type" not in e.attributes]
        own, page, _ = element.text.partition("// The page itself")
        assert page
        self.whole = element.text
        self.context = MiniRacer()
        self.context.eval(own)
        self.context.eval(f"const data = {json.dumps(data_of(text))}; 0")

    def call(self, function: str, *arguments: Any) -> Any:
        """A function of recompute.js with the page's data."""
        told = ", ".join(["data", *map(json.dumps, arguments)])
        return json.loads(self.context.eval(f"JSON.stringify({function}({told}))"))
