"""The launchers that belong to no framework: torchrun, python, srun, mpirun."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dsbridge.provenance import Source
from dsbridge.reading import Launched, Launcher, Reading, Setup, Words

# torch 2.13, distributed/run.py get_args_parser: options that take no value.
TORCHRUN_SWITCHES = frozenset({"standalone", "module", "no_python", "run_path", "m", "h", "help"})
TORCHRUN_SHORT = {"m": "module", "r": "redirects", "t": "tee"}
# srun's own manual: options whose value may be a word of its own.
SRUN_WITH_VALUE = frozenset(
    (
        *"nNcpAJoeDtwx", "ntasks", "nodes", "cpus-per-task", "partition", "account", "job-name", "output",
        "error", "time", "gres", "ntasks-per-node", "gpus", "gpus-per-node", "gpus-per-task", "nodelist",
        "exclude", "mem", "cpu-bind", "chdir", "qos", "export",
    )
)  # fmt: skip

# ray 2.60 dashboard/modules/job/cli.py: options of a submission that take no value.
RAY_SWITCHES = frozenset({"no_wait", "verbose", "v"})
# What MPI is asked to start.
_STARTED = frozenset(("torchrun", "accelerate", "deepspeed", "xtuner", "llamafactory-cli", "env"))


def split_options(
    words: Words, start: int, switches: frozenset[str], short: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, Source], int]:
    """Options up to the first word that is none: values by name (dashes as underscores), places, end.

    A switch has the value True. An option whose value is missing has the value "".
    """
    values: dict[str, Any] = {}
    places: dict[str, Source] = {}
    index = start
    while index < len(words.items) and words.items[index].startswith("-"):
        word = words.items[index]
        if word == "--":
            index += 1
            break
        name, equals, value = word.lstrip("-").partition("=")
        name = name.replace("-", "_")
        name = short.get(name, name) if not word.startswith("--") else name
        places[name] = words.source(index)
        if equals:
            values[name] = value
        elif name in switches:
            values[name] = True
        else:
            index += 1
            values[name] = words.items[index] if index < len(words.items) else ""
        index += 1
    return values, places, index


def name_of(word: str) -> str:
    """The program's name without its folder."""
    return word.rstrip("/").rpartition("/")[2]


def is_python(word: str) -> bool:
    """`python`, `python3`, `/usr/bin/python3.11`; not a script whose name merely begins so."""
    name = name_of(word)
    return name.startswith("python") and not name.endswith(".py")


def whole(value: Any) -> int | None:
    """A positive integer, or None."""
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and int(text[:9]) > 0 else None


def _is_torchrun(words: Sequence[str]) -> bool:
    if not words:
        return False
    module = list(words[1:3]) == ["-m", "torch.distributed.run"]
    return name_of(words[0]) == "torchrun" or (is_python(words[0]) and module)


def _read_torchrun(setup: Setup) -> Launched:
    """Processes a node times nodes; `--nproc_per_node gpu` is as many as there are."""
    start = 3 if is_python(setup.words.items[0]) else 1
    values, places, end = split_options(setup.words, start, TORCHRUN_SWITCHES, TORCHRUN_SHORT)
    environ = setup.environ
    per_node = values.get("nproc_per_node", environ.get("PET_NPROC_PER_NODE", "1"))
    nodes = str(values.get("nnodes", environ.get("PET_NNODES", "1"))).partition(":")[0]
    facts: dict[str, Any] = {}
    local, count = whole(per_node), whole(nodes)
    if local and not setup.assumed:
        facts["local_world_size"] = local
        if count:
            facts["world_size"] = local * count
    program = setup.words.after(end)
    if values.get("module") and program.items:
        program = Words(("-m", *program.items), program.first - 1)
    sources = {f"torchrun.{name}": place for name, place in places.items()}
    exported = {"RANK": "0", "LOCAL_RANK": "0"}
    if "world_size" in facts:
        exported["WORLD_SIZE"] = str(facts["world_size"])
    return Launched(Reading({"torchrun": values}, sources, facts), program, exported)


def _read_python(setup: Setup) -> Launched:
    """A script by itself: one process, or what WORLD_SIZE says."""
    index = 1
    words = setup.words
    while index < len(words.items) and words.items[index] in ("-u", "-O", "-B", "-E", "-s", "-I"):
        index += 1
    facts: dict[str, Any] = {}
    if not setup.launchers and not setup.assumed:
        world = whole(setup.environ.get("WORLD_SIZE", "1"))
        facts = {"world_size": world, "local_world_size": world} if world else {}
    return Launched(Reading({}, {}, facts), words.after(index))


def _read_srun(setup: Setup) -> Launched:
    """Slurm starts the same command once a task; what the tasks make of it is the script's affair."""
    values: dict[str, Any] = {}
    index = 1
    words = setup.words.items
    while index < len(words) and words[index].startswith("-"):
        name, equals, value = words[index].lstrip("-").partition("=")
        if equals:
            values[name] = value
        elif name in SRUN_WITH_VALUE and index + 1 < len(words):
            index += 1
            values[name] = words[index]
        else:
            values[name] = True
        index += 1
    tasks = whole(values.get("n", values.get("ntasks", "")))
    nodes = whole(values.get("N", values.get("nodes", "")))
    each = whole(values.get("ntasks-per-node", ""))
    tasks = tasks or (nodes * each if nodes and each else None)
    facts = {"slurm_tasks": tasks} if tasks else {}
    return Launched(Reading({"srun": values}, {}, facts), setup.words.after(index))


def _is_ray(words: Sequence[str]) -> bool:
    return len(words) > 2 and name_of(words[0]) == "ray" and list(words[1:3]) == ["job", "submit"]


def _read_ray(setup: Setup) -> Launched:
    """`ray job submit ... -- PROGRAM`: it runs on the cluster, with the variables of its runtime_env.

    ray 2.60 dashboard/modules/job/cli.py submit: what no option takes is the entrypoint.
    """
    values, places, end = split_options(setup.words, 3, RAY_SWITCHES, {})
    environ: dict[str, str] = {}
    try:
        found = json.loads(str(values.get("runtime_env_json", "{}")))
    except ValueError:
        found = {}
    if isinstance(found, dict) and isinstance(found.get("env_vars"), dict):
        environ = {str(name): str(value) for name, value in found["env_vars"].items()}
    sources = {f"ray.{name}": place for name, place in places.items()}
    return Launched(Reading({"ray": values}, sources, {}), setup.words.after(end), environ)


def _is_mpi(words: Sequence[str]) -> bool:
    return bool(words) and name_of(words[0]) in ("mpirun", "mpiexec")


def _program_at(words: Sequence[str]) -> int:
    """Where an MPI command's program begins: options differ by kind of MPI, and take several words."""
    for index, word in enumerate(words[1:], 1):
        if is_python(word) or name_of(word) in _STARTED:
            return index
    return len(words)


def _read_mpi(setup: Setup) -> Launched:
    """MPI starts the same command once a rank, and sets none of torch's variables: only DeepSpeed asks MPI
    for the ranks (comm/comm.py mpi_discovery), so how many each part of the run counts is left open."""
    words = setup.words.items
    end = _program_at(words)
    values: dict[str, Any] = {}
    places: dict[str, Source] = {}
    for index in range(1, end - 1):
        if words[index].lstrip("-") in ("np", "n", "c") and words[index].startswith("-"):
            values, places = {"np": words[index + 1]}, {"mpirun.np": setup.words.source(index)}
            break
    return Launched(Reading({"mpirun": values}, places, {}), setup.words.after(end))


LAUNCHERS = (
    Launcher("torchrun", _is_torchrun, _read_torchrun),
    Launcher("srun", lambda words: bool(words) and name_of(words[0]) == "srun", _read_srun),
    Launcher("ray", _is_ray, _read_ray),
    Launcher("mpirun", _is_mpi, _read_mpi),
    Launcher("python", lambda words: bool(words) and is_python(words[0]), _read_python),
)
