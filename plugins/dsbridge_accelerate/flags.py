"""The words after `accelerate launch`, as its argparse reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dsbridge.rulebook import Words
from dsbridge.sdk import Source
from dsbridge_accelerate.tables import options

_ERROR = "Accelerate launch command: error: "
_NO_SCRIPT = "the following arguments are required: training_script, training_script_args"
KINDS: Mapping[str, Any] = {"int": int, "float": float}


class Flags(NamedTuple):
    """Values by destination, their places, the training program, and what argparse says instead."""

    values: dict[str, Any]
    places: dict[str, Source]
    program: Words
    problem: str = ""


def read_flags(words: Words) -> Flags:
    """Options up to the script; what follows is the script's. Abbreviations are not taken."""
    known = options()
    values: dict[str, Any] = {}
    places: dict[str, Source] = {}
    strange: list[str] = []
    index, items = 0, words.items
    while index < len(items) and _is_option(items[index]):
        name, equals, text = items[index].partition("=")
        option, place = known.get(name), words.source(index)
        if option is None:
            strange.append(items[index])
        elif "sets" in option:
            values[option["dest"]] = option["sets"]
            places[option["dest"]] = place
        else:
            if not equals:
                index += 1
                if index >= len(items) or _is_option(items[index]):
                    return Flags(values, places, Words(()), _said(option, "expected one argument"))
                text = items[index]
            value, problem = _typed(option, text)
            if problem:
                return Flags(values, places, Words(()), problem)
            values[option["dest"]] = value
            places[option["dest"]] = place
        index += 1
    program = words.after(index)
    if not program.items:
        return Flags(values, places, program, _ERROR + _NO_SCRIPT)
    problem = f"{_ERROR}unrecognized arguments: {' '.join(strange)}" if strange else ""
    return Flags(values, places, program, problem)


def _is_option(word: str) -> bool:
    return word.startswith("-") and len(word) > 1 and not word[1:].replace(".", "", 1).isdigit()


def _said(option: Mapping[str, Any], what: str) -> str:
    return f"{_ERROR}argument {option['shown']}: {what}"


def _typed(option: Mapping[str, Any], text: str) -> tuple[Any, str]:
    """The value, or argparse's words."""
    kind = option.get("type", "")
    value: Any = text
    if kind:
        try:
            value = KINDS[kind](text)
        except ValueError:
            return None, _said(option, f"invalid {kind} value: {text!r}")
    choices: Sequence[str] = option.get("choices") or ()
    if choices and value not in choices:
        offered = ", ".join(repr(choice) for choice in choices)
        return None, _said(option, f"invalid choice: {value!r} (choose from {offered})")
    return value, ""
