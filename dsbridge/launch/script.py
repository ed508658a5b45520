"""Launch words to a bash script. Every value is quoted; only a Variable is left to the shell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

from dsbridge.framework import Launch
from dsbridge.spec import ParallelSpec
from dsbridge.spec.batch import dims
from dsbridge.values import UNSET

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


Word: TypeAlias = str | Variable


def make_launch(
    header: str, env: Mapping[str, Word], argv: Sequence[Word], notes: Sequence[str] = ()
) -> Launch:
    """The launch as words, and as a script that runs beside the files it names."""
    return Launch(
        env={name: str(value) for name, value in env.items()},
        argv=tuple(str(word) for word in argv),
        script=_script(header, env, argv, notes),
    )


def node_rank(spec: ParallelSpec) -> Word:
    """This node's number: fixed by the spec, or NODE_RANK where the script runs."""
    given = spec.launch.node_rank
    if given is not UNSET:
        return str(given)
    return (
        Variable("NODE_RANK", "0")
        if dims(spec).nodes == 1
        else Variable("NODE_RANK", required="set it to 0 on the first node, 1 on the second, and so on")
    )


def master_addr(spec: ParallelSpec) -> Word:
    """Node 0's address: the spec's; this machine for one node; else MASTER_ADDR, which must be set."""
    given = spec.launch.master_addr
    if given is not UNSET:
        return str(given)
    if dims(spec).nodes == 1:
        return Variable("MASTER_ADDR", "127.0.0.1")
    return Variable("MASTER_ADDR", required="set it to the address of node 0")


def master_port(spec: ParallelSpec) -> Word:
    """Node 0's port: the spec's, else MASTER_PORT, else torchrun's usual 29500."""
    given = spec.launch.master_port
    return Variable("MASTER_PORT", "29500") if given is UNSET else str(given)


def torchrun_words(spec: ParallelSpec) -> tuple[Word, ...]:
    """`torchrun` with the layout of the spec; `gpu` means all GPUs of the machine."""
    layout = dims(spec)
    return (
        "torchrun",
        "--nnodes",
        str(layout.nodes),
        "--node_rank",
        node_rank(spec),
        "--nproc_per_node",
        "gpu" if layout.local_world_size is None else str(layout.local_world_size),
        "--master_addr",
        master_addr(spec),
        "--master_port",
        master_port(spec),
    )


def _script(header: str, env: Mapping[str, Word], argv: Sequence[Word], notes: Sequence[str]) -> str:
    bad = [name for name in env if not _NAME.fullmatch(name)]
    assert not bad, f"not names of environment variables: {bad}"
    lines = [
        "#!/usr/bin/env bash",
        f"# {header}",
        *(f"# {note}" for note in notes),
        "set -euo pipefail",
        'cd "$(dirname "${BASH_SOURCE[0]}")"  # the files named below lie beside this script',
    ]
    lines += [f"export {name}={quote(value)}" for name, value in env.items()]
    lines.append("exec " + " \\\n  ".join(_grouped(argv)))
    return "\n".join(lines) + "\n"


def _grouped(argv: Sequence[Word]) -> list[str]:
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
    return f'"{word}"' if isinstance(word, Variable) else shlex.quote(word)
