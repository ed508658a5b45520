"""HfArgumentParser without argparse: what it makes of a command's words, and what it says of bad ones."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

_NUMBER = re.compile(r"^-\d+$|^-\d*\.\d+$")  # argparse: a negative number is no option
_TRUE = ("yes", "true", "t", "y", "1")
_FALSE = ("no", "false", "f", "n", "0")


class Bad(Exception):
    """argparse ends the program: `usage`, then this."""


class Option(NamedTuple):
    """One field of a dataclass as the parser offers it."""

    name: str
    kind: str  # text, int, float, bool, choice, dict
    nargs: str = ""
    choices: tuple[Any, ...] = ()
    aliases: tuple[str, ...] = ()
    no: bool = False
    required: bool = False

    @property
    def strings(self) -> tuple[str, ...]:
        """`--fp16_full_eval`, `--fp16-full-eval` and aliases."""
        dashed = f"--{self.name.replace('_', '-')}"
        own = (f"--{self.name}",) if "_" not in self.name else (f"--{self.name}", dashed)
        return tuple(dict.fromkeys((*own, *self.aliases)))


class Parsed(NamedTuple):
    """Values by field, the index of the word each came from, and words that nobody takes."""

    values: dict[str, Any]
    places: dict[str, int]
    left: list[str]


def option_of(name: str, row: Mapping[str, Any]) -> Option:
    """A row of the harvested table."""
    return Option(
        name,
        row["kind"],
        row.get("nargs", ""),
        tuple(row.get("choices", ())),
        tuple(row.get("aliases", ())),
        bool(row.get("no")),
        bool(row.get("required")),
    )


def parse(words: Sequence[str], options: Sequence[Option]) -> Parsed:
    """Read the words as `parse_known_args` does.

    Raises:
        Bad: argparse would end the program; the text is what it says.
    """
    known = {text: (option, False) for option in options for text in option.strings}
    for option in options:
        if option.no:
            known |= {f"--no_{option.name}": (option, True)}
            known |= {f"--no-{option.name.replace('_', '-')}": (option, True)}
    found = Parsed({}, {}, [])
    index = 0
    while index < len(words):
        word = words[index]
        if word == "--":
            found.left.extend(words[index + 1 :])
            break
        if not _is_option(word):
            found.left.append(word)
            index += 1
            continue
        index = _take(words, index, known, found)
    missing = ["/".join(o.strings) for o in options if o.required and o.name not in found.values]
    if missing:
        raise Bad(f"the following arguments are required: {', '.join(missing)}")
    return found


def _is_option(word: str) -> bool:
    if not word.startswith("-") or len(word) == 1 or _NUMBER.match(word):
        return False
    return " " not in word.partition("=")[0]


def _take(words: Sequence[str], index: int, known: Mapping[str, tuple[Option, bool]], found: Parsed) -> int:
    """One option with its values; the index of the next word."""
    text, equals, inline = words[index].partition("=")
    option, negated = _find(text, known, words[index])
    if option is None:
        found.left.append(words[index])
        return index + 1
    found.places[option.name] = index
    if negated:
        found.values[option.name] = False
        return index + 1
    values = [inline] if equals else []
    index += 1
    if not equals:
        most = {"": 1, "?": 1}.get(option.nargs, len(words))
        while index < len(words) and len(values) < most and not _is_option(words[index]):
            values.append(words[index])
            index += 1
    shown = "/".join(option.strings)
    if not values and option.nargs == "?":
        found.values[option.name] = True
    elif not values:
        count = "at least one argument" if option.nargs == "+" else "one argument"
        raise Bad(f"argument {shown}: expected {count}")
    elif option.nargs == "+":
        found.values[option.name] = [converted(option, value) for value in values]
    else:
        found.values[option.name] = converted(option, values[0])
    return index


def _find(text: str, known: Mapping[str, tuple[Option, bool]], word: str) -> tuple[Option | None, bool]:
    """The option of this name, or the only one that begins so."""
    if text in known:
        return known[text]
    if not text.startswith("--"):
        return None, False
    starting = [name for name in known if name.startswith(text)]
    if len(starting) > 1:
        raise Bad(f"ambiguous option: {word} could match {', '.join(starting)}")
    return known[starting[0]] if starting else (None, False)


def converted(option: Option, word: str) -> Any:
    """The word as the field's type has it."""
    shown = "/".join(option.strings)
    if option.kind in ("int", "float"):
        try:
            return int(word) if option.kind == "int" else float(word)
        except ValueError:
            raise Bad(f"argument {shown}: invalid {option.kind} value: {word!r}") from None
    if option.kind == "bool":
        if word.lower() in _TRUE or word.lower() in _FALSE:
            return word.lower() in _TRUE
        expected = "yes/no, true/false, t/f, y/n, 1/0 (case insensitive)"
        raise Bad(f"argument {shown}: Truthy value expected: got {word} but expected one of {expected}.")
    if option.kind == "choice":
        by_text = {str(choice): choice for choice in option.choices}
        if word not in by_text:
            among = ", ".join(repr(choice) for choice in option.choices)
            raise Bad(f"argument {shown}: invalid choice: {word!r} (choose from {among})")
        return by_text[word]
    return word
