"""The HTML report: well formed, alone in the world, and safe from what it shows."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import pytest

from dsbridge.planner.candidates import Wanted
from dsbridge.planning.answering import Asked, answer
from dsbridge.planning.question import Question
from dsbridge.reading import Files
from dsbridge.report.page import page
from tests.report.pages import Engine, Read, data_of, page_of, plan_of, read

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> \"'&amp; ${3} $title <!-- ]]>"


# the numbers of all QUESTIONS are held to Python's in test_recompute.py; of their pages, two have every part
@pytest.fixture(params=["two nodes", pytest.param("too large", marks=pytest.mark.slow)])
def text(request: pytest.FixtureRequest) -> str:
    return page_of(request.param)


def test_every_element_is_closed_and_every_id_is_one(text: str) -> None:
    found = read(text)
    assert not found.wrong
    ids = [e.attributes["id"] for e in found.elements if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    for element in found.elements:
        for key in ("aria-labelledby", "aria-describedby", "data-copy"):
            assert element.attributes.get(key, ids[0]) in ids
        if element.attributes.get("href", "").startswith("#"):
            assert element.attributes["href"][1:] in ids


def test_nothing_comes_from_anywhere_else(text: str) -> None:
    found = read(text)
    for element in found.elements:
        for name, value in element.attributes.items():
            assert not re.match("on|style$", name), f"{element.tag} has {name}"
            assert "://" not in value, f"{element.tag} {name}={value}"
            if name in ("src", "href", "action", "srcset", "data", "xlink:href"):
                assert value.startswith("#") or value == "data:,"
    (style,) = found.every("style")
    assert not re.search(r"@import|url\(|//", style.text)
    scripts = [e.text for e in found.every("script") if "type" not in e.attributes]
    assert not re.search(r"https?://|fetch\(|XMLHttpRequest|WebSocket|import\(|eval\(|innerHTML", scripts[0])


def test_the_policy_allows_its_own_style_and_script_alone(text: str) -> None:
    found = read(text)
    (policy,) = [e.attributes["content"] for e in found.every("meta") if "http-equiv" in e.attributes]
    rules = {rule.split()[0]: rule.split()[1:] for rule in policy.split(";")}
    assert rules["default-src"] == ["'none'"]
    for kind, tag in (("style-src", "style"), ("script-src", "script")):
        (own,) = [e.text for e in found.every(tag) if "type" not in e.attributes]
        digest = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
        assert rules[kind] == [f"'sha256-{digest}'"]


def test_pictures_are_told_in_words_and_fields_have_names(text: str) -> None:
    found = read(text)
    for element in found.every("svg"):
        told = element.attributes.get("aria-label") or "aria-hidden" in element.attributes
        assert told or "id" in element.attributes or element.attributes.get("x") == "100%"
    assert len(found.every("select")) + len(found.every("input")) == len(found.every("label")) == 12
    assert all(element.text for element in found.every("caption"))


def test_it_is_small(text: str) -> None:
    assert len(text.encode()) < 500_000


@pytest.mark.slow
def test_many_kinds_and_a_window_that_slides_are_small_too() -> None:
    question = Question(model="google/gemma-2-27b", gpus=64, nodes=4, gpu="h100-80gb", host_memory=2**40)
    assert len(page(answer(Asked(question, Wanted(), Files()))).encode()) < 500_000


def test_the_script_is_one_that_v8_reads(text: str) -> None:
    engine = Engine(text)
    assert engine.context.eval(f"new Function({json.dumps(engine.whole)}); 1") == 1


@pytest.mark.slow
def test_a_hostile_name_stays_a_name() -> None:
    plan = plan_of("full")
    shape = plan.job.shape
    first = plan.diagnostics[0]._replace(message=HOSTILE, hint=HOSTILE)
    found = read(text := page(plan._replace(name=HOSTILE, diagnostics=(first, *plan.diagnostics[1:]))))
    usual = read(page_of("full"))
    assert not found.wrong
    assert shapes(found) == shapes(usual), "the name made elements of its own"
    (title,) = found.every("h1")
    assert HOSTILE in title.text
    assert any(HOSTILE in piece for _, piece in data_of(text)["spec"]["pieces"])
    assert any(HOSTILE in element.text for element in found.every("li"))
    assert shape.name not in title.text


def shapes(found: Read) -> list[tuple[str, list[str]]]:
    return [(element.tag, list(element.attributes)) for element in found.elements]


def test_the_chosen_spec_is_on_the_page() -> None:
    from dsbridge.formats.yaml_text import to_yaml
    from dsbridge.planning.answering import chosen_spec

    found = read(page_of("full"))
    assert to_yaml(chosen_spec(plan_of("full"))) in [element.text for element in found.every("code")]


@pytest.mark.slow
def test_a_job_that_fits_nowhere_says_so_and_has_no_spec() -> None:
    found = read(page_of("too large"))
    assert "No layout fits" in [element.text for element in found.every("h2")]
    assert "spec" not in [element.attributes.get("id") for element in found.every("section")]
    assert not any("fits" in e.attributes.get("class", "").split() for e in found.every("span"))
