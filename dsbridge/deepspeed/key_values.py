"""What a release makes of the value of a key that it knows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dsbridge.deepspeed.known import NO_DEFAULT, Key

# The words that pydantic takes for a boolean.
_BOOLEANS = dict.fromkeys(("true", "yes", "on", "y", "t"), True) | dict.fromkeys(
    ("false", "no", "off", "n", "f"), False
)


def drops_auto(value: Any, name: str) -> bool:
    """deepspeed/runtime/config_utils.py DeepSpeedConfigModel: any "auto" is as if it were not there."""
    return value == "auto" and isinstance(value, str) and name != "replace_method"


def judge_value(value: Any, key: Key, *, of_class: bool, wrong: bool) -> tuple[str, bool] | None:
    """The kind of what is wrong and whether the release stops there; None if nothing is.

    of_class: the key is a field of a class. wrong: that class refuses the value.
    """
    if of_class:
        if drops_auto(value, key.name):
            return "auto-dropped", False
        quoted = kind_of_text(value) != "" and _wants(key) in ("number", "boolean")
        return ("quoted" if quoted else "wrong-type", wrong) if wrong or quoted else None
    kind = kind_of(value)
    if key.choices and isinstance(value, str):
        texts = {str(choice).lower() if key.any_case else choice for choice in key.choices}
        return None if (value.lower() if key.any_case else value) in texts else ("wrong-type", True)
    refused = kind in key.refuses
    if kind.startswith("quoted") and (refused or _wants(key) in ("number", "boolean")):
        return "quoted", refused
    if refused or (kind in ("text", "auto", "list", "object") and _wants(key) in ("number", "boolean")):
        return "wrong-type", refused
    return None


def kind_of_text(value: Any) -> str:
    """A number or boolean that stands in quotation marks, without them; "" for anything else."""
    if not isinstance(value, str):
        return ""
    if value.strip().lower() in _BOOLEANS:
        return json.dumps(_BOOLEANS[value.strip().lower()])
    try:
        number = float(value)
    except ValueError:
        return ""
    return value.strip() if number == number and abs(number) != float("inf") else ""


def kind_of(value: Any) -> str:
    """The kind of a value, in the words of the table."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "integer" if isinstance(value, int) or value.is_integer() else "fraction"
    if isinstance(value, str):
        text = kind_of_text(value)
        quoted = "quoted boolean" if text in ("true", "false") else "quoted number"
        return "auto" if value == "auto" else quoted if text else "text"
    return "object" if isinstance(value, Mapping) else "list"


def _wants(key: Key) -> str:
    """What the key is for, from its class's annotation or from its default."""
    words = key.type or ""
    if key.choices:
        return "number" if all(isinstance(choice, int) for choice in key.choices) else "text"
    if words:
        kinds = {"int": "number", "float": "number", "bool": "boolean"}
        inner = words.removeprefix("Optional[").removesuffix("]").removesuffix(" | None")
        return kinds.get(inner, "")
    if key.default is NO_DEFAULT or key.default is None:
        return ""
    kind = kind_of(key.default)
    return {"integer": "number", "fraction": "number", "boolean": "boolean"}.get(kind, "")
