"""Launch words to a bash script. Every value is quoted; only a Variable is left to the shell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from dsbridge.framework import Launch

PLAIN = "# shellcheck disable=SC2016  # in single quotes, so that no sign of a value is expanded"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Variable(NamedTuple):
    """A value that each node gets from its own environment: `${NODE_RANK:-0}`."""

    name: str
    default: str = ""
    required: str = ""  # said when it is missing, instead of a default

    def __str__(self) -> str:
        if self.required:
            return f"${{{self.name}:?{self.required}}}"
        return f"${{{self.name}:-{self.default}}}"


class Joined(NamedTuple):
    """One word of several parts, as an address and a port with a colon between."""

    parts: tuple[str | Variable, ...]

    def __str__(self) -> str:
        return "".join(str(part) for part in self.parts)


Word: TypeAlias = str | Variable | Joined


def make_launch(
    header: str, env: Mapping[str, Word], argv: Sequence[Word], notes: Sequence[str] = ()
) -> Launch:
    """The launch as words, and as a script that runs beside the files it names."""
    return Launch(
        env={name: str(value) for name, value in env.items()},
        argv=tuple(str(word) for word in argv),
        script=_script(header, env, argv, notes),
    )


def _script(header: str, env: Mapping[str, Word], argv: Sequence[Word], notes: Sequence[str]) -> str:
    bad = [name for name in env if not _NAME.fullmatch(name)]
    assert not bad, f"not names of environment variables: {bad}"
    lines = [
        "#!/usr/bin/env bash",
        f"# {header}",
        *(f"# {note}" for note in notes),
        *([PLAIN] if with_signs([*env.values(), *argv]) else []),
        "set -euo pipefail",
        'cd "$(dirname "${BASH_SOURCE[0]}")"  # the files named below lie beside this script',
    ]
    lines += exports(env)
    lines.append(command(argv))
    return "\n".join(lines) + "\n"


def with_signs(words: Iterable[Word]) -> bool:
    """Whether a word has a sign that a shell would expand, were it not quoted."""
    return any(isinstance(word, str) and ("$" in word or "`" in word) for word in words)


def exports(env: Mapping[str, Word]) -> list[str]:
    """The lines that set the variables."""
    return [f"export {name}={quote(value)}" for name, value in env.items()]


def command(argv: Sequence[Word]) -> str:
    """The words as one command in place of the shell, an option a line."""
    return "exec " + " \\\n  ".join(grouped(argv))


def grouped(argv: Sequence[Word]) -> list[str]:
    """The program on the first line, then one option with its value, or one further word, a line."""
    lines: list[list[str]] = [[]]
    for word in argv:
        line = lines[-1]
        option_is_full = bool(line) and line[0].startswith("--") and len(line) > 1
        further_word = len(lines) > 1 and bool(line) and not line[0].startswith("--")
        if line and (str(word).startswith("--") or option_is_full or further_word):
            lines.append([])
        lines[-1].append(quote(word))
    return [" ".join(line) for line in lines]


def quote(word: Word) -> str:
    """A word as bash reads it back unchanged; a Variable in double quotes."""
    if isinstance(word, Joined):
        return "".join(quote(part) for part in word.parts)  # side by side they are one word to bash
    return f'"{word}"' if isinstance(word, Variable) else shlex.quote(word)
