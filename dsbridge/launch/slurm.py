"""One sbatch script: one task a node (or a GPU), each started by srun with its words."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from dsbridge.framework import Launch, RenderRequest
from dsbridge.launch.outer import Node, Outer
from dsbridge.launch.script import Variable, Word, command, exports, grouped, quote
from dsbridge.spec import ParallelSpec
from dsbridge.spec.batch import dims
from dsbridge.values import UNSET

NAME = "launch.sbatch"
_PLAIN = ("job_name", "partition", "account", "qos", "constraint", "time", "output", "cpus_per_task")
_WORD = re.compile(r"[A-Za-z0-9_./:%@,+=-]+")
SAYS = frozenset(
    {f"launch.slurm.{name}" for name in (*_PLAIN, "requeue", "gpus", "options")} | {"launch.kind"}
)
_GPUS = "set it to the number of GPUs of a node"
_PER_NODE = ("SLURM_NODEID",)  # known in a task only, so that the task's own shell must read it


def batch_job(request: RenderRequest, node: Node) -> Outer:
    """`launch.sbatch`, to be submitted from its own folder."""
    spec = request.spec
    srun = _srun(spec, node)
    inside = _inside(node)
    lines = [
        "#!/usr/bin/env bash",
        *(f"#SBATCH {option}" for option in _options(spec, node)),
        f"# {request.header()}",
        *(f"# {note}" for note in node.notes),
        "# shellcheck disable=SC2016  # in single quotes: plain text, or for the shell of each task",
        "set -euo pipefail",
        'cd "${SLURM_SUBMIT_DIR:?submit this script by sbatch}"  # the files named below lie there',
        *_address(spec),
        *exports(
            {name: word for name, word in node.env.items() if not (_of_task(word) or _said(spec, name, word))}
        ),
        "exec " + " \\\n  ".join([*grouped(srun), f"bash -euo pipefail -c {shlex.quote(inside)}"]),
    ]
    env = {name: str(word) for name, word in node.env.items()}
    argv = tuple(str(word) for word in (*srun, *node.argv))
    script = "\n".join(lines) + "\n"
    tasks = "one task a GPU" if node.each_gpu else "one task a node"
    told = f"`launch.kind: slurm`: {NAME} starts {tasks} by srun"
    hint = f"Submit it in its own folder: sbatch {NAME}"
    says = SAYS | ({"launch.master_addr"} if spec.launch.master_addr is not UNSET else set())
    return Outer(Launch(env, argv, script), {NAME: script}, says, told, hint)


def _srun(spec: ParallelSpec, node: Node) -> tuple[Word, ...]:
    cores = spec.launch.slurm.cpus_per_task
    return (
        *("srun", "--kill-on-bad-exit=1", "--nodes", str(dims(spec).nodes)),
        *("--ntasks-per-node", _tasks(spec, node)),
        # since Slurm 22.05 srun does not take it from the job
        *(() if cores is UNSET else ("--cpus-per-task", str(cores))),
    )


def _tasks(spec: ParallelSpec, node: Node) -> Word:
    """Tasks of a node."""
    gpus = dims(spec).local_world_size
    if not node.each_gpu:
        return "1"
    return Variable("GPUS_PER_NODE", required=_GPUS) if gpus is None else str(gpus)


def _of_task(word: Word) -> bool:
    return isinstance(word, Variable) and word.name in _PER_NODE


def _said(spec: ParallelSpec, name: str, word: Word) -> bool:
    """The script exports it above: the spec's, or of the allocation."""
    fixed = {"MASTER_ADDR": spec.launch.master_addr, "MASTER_PORT": spec.launch.master_port}
    return name in fixed and ((isinstance(word, Variable) and word.name == name) or word == str(fixed[name]))


def _inside(node: Node) -> str:
    """The task: what only it knows, then the words in place of its shell."""
    own = {name: word for name, word in node.env.items() if _of_task(word)}
    return "\n".join([*exports(own), command(node.argv)])


def _address(spec: ParallelSpec) -> list[str]:
    """The first node of the allocation, as Slurm's own manual finds it, unless the spec fixes one."""
    if spec.launch.master_addr is not UNSET:
        first = quote(str(spec.launch.master_addr))
        lines = [f"export MASTER_ADDR={first}"]
    else:
        lines = [
            'read -r MASTER_ADDR < <(scontrol show hostnames "${SLURM_JOB_NODELIST:?}")',
            "export MASTER_ADDR",
        ]
    port = "${MASTER_PORT:-29500}" if spec.launch.master_port is UNSET else str(spec.launch.master_port)
    return [*lines, f'export MASTER_PORT="{port}"']


def _options(spec: ParallelSpec, node: Node) -> Iterator[str]:
    """The `#SBATCH` lines. Slurm reads quotes and backslashes in them as a shell does."""
    layout, slurm = dims(spec), spec.launch.slurm
    yield f"--nodes={layout.nodes}"
    if isinstance(_tasks(spec, node), str):  # a variable is srun's to read
        yield f"--ntasks-per-node={_tasks(spec, node)}"
    gpus, how = layout.local_world_size, "gpus_per_node" if slurm.gpus is UNSET else str(slurm.gpus)
    if gpus is not None and how != "none":
        yield f"--gres=gpu:{gpus}" if how == "gres" else f"--gpus-per-node={gpus}"
    for name in _PLAIN:
        value = getattr(slurm, name)
        if value is not UNSET:
            yield _option(name.replace("_", "-"), str(value))
    if slurm.requeue is not UNSET:
        yield "--requeue" if slurm.requeue else "--no-requeue"
    for name, value in (slurm.options or {}).items():
        if value is True:
            yield f"--{name}"
        elif value is not False:
            yield _option(str(name), str(value))


def _option(name: str, value: str) -> str:
    if _WORD.fullmatch(value):
        return f"--{name}={value}"
    inner = re.sub(r'(["\\])', r"\\\1", value)
    return f'--{name}="{inner}"'
