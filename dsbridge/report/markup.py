"""HTML that escapes by itself: what is no `Html` yet is text."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from typing import Any

_VOID = {"br", "hr", "input", "line", "rect", "path", "col"}
GIB = 2**30


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def tag(name: str, /, *children: object, **attributes: object) -> Html:
    """An element. class_: `class`; an underscore inside a name is a hyphen; None and False are left out, True
    is an attribute without a value."""
    head = name
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        said = key.rstrip("_").replace("_", "-")
        head += f" {said}" if value is True else f' {said}="{html.escape(str(value))}"'
    if name in _VOID:
        return Html(f"<{head}>" if name in {"br", "hr", "input", "col"} else f"<{head}/>")
    return Html(f"<{head}>{joined(*children)}</{name}>")


def joined(*parts: object) -> Html:
    """One after the other; None is nothing."""
    return Html("".join(p if isinstance(p, Html) else html.escape(str(p)) for p in parts if p is not None))


def table(caption: str, head: Iterable[str], rows: Iterable[Iterable[object]], class_: str = "") -> Html:
    """A table that scrolls by itself where it is too wide; the first cell of a row names it."""
    columns = list(head)
    first = tag("tr", *(tag("th", name, scope="col") for name in columns))
    body = [
        tag("tr", *(tag("td", cell) if i else tag("th", cell, scope="row") for i, cell in enumerate(row)))
        for row in rows
    ]
    inner = tag("table", tag("caption", caption), tag("thead", first), tag("tbody", *body), class_=class_)
    return tag("div", inner, class_="scroll", tabindex="0", role="region", aria_label=caption)


def embedded(value: Any) -> Html:
    """JSON for a script element: nothing in it can end the element or open a comment."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return Html(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def gib(count: float) -> str:
    """Bytes in GiB, as people read them: three digits, none of them pretended."""
    value = count / GIB
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 1 else f"{value:.2f}"
