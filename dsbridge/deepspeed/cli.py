"""The `deepspeed` launcher: which words are its own, how many ranks it starts, what it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dsbridge.launchers import name_of, split_options, whole
from dsbridge.reading import Launched, Launcher, Reading, Setup, Words

# deepspeed/launcher/runner.py parse_args: options that take no value.
_SWITCHES = frozenset(
    (
        "module", "no_python", "no_local_rank", "no_ssh", "no_ssh_check", "force_multi", "save_pid",
        "bind_cores_to_rank", "quiet",
    )
)  # fmt: skip
_SHORT = {"H": "hostfile", "i": "include", "e": "exclude", "q": "quiet"}


def _matches(words: Sequence[str]) -> bool:
    return bool(words) and name_of(words[0]) in ("deepspeed", "ds")


def _slots(text: str) -> list[str]:
    """`localhost:0,2` -> ["0", "2"]; several nodes are not followed."""
    _, colon, slots = text.partition(":")
    return slots.split(",") if colon else []


def _hosts(setup: Setup, hostfile: str, most: int | None) -> list[int]:
    """The slots of each node that takes part: `worker-1 slots=8` a line (launcher/runner.py:226-252)."""
    if not hostfile or not setup.files.has(hostfile):
        return []
    lines = (line.split("#")[0].strip() for line in setup.files.text(hostfile).splitlines())
    slots = [whole(line.rpartition("slots=")[2]) for line in lines if line]
    known = [one for one in slots if one]
    return known[:most] if len(known) == len(slots) else []


def _read(setup: Setup) -> Launched:
    """One process a GPU: all of them, or those that --num_gpus, --include or --exclude leave."""
    values, places, end = split_options(setup.words, 1, _SWITCHES, _SHORT)
    values = {("num_gpus" if name == "num_accelerators" else name): value for name, value in values.items()}
    visible = setup.environ.get("CUDA_VISIBLE_DEVICES", "")
    plain = not {"include", "exclude", "num_gpus", "num_nodes"} & values.keys()
    if visible and plain:
        values["include"] = f"localhost:{visible}"
    facts: dict[str, Any] = {}
    count = whole(values.get("num_gpus", ""))
    included = _slots(str(values.get("include", "")))
    hosts = _hosts(setup, str(values.get("hostfile", "")), whole(values.get("num_nodes", "")))
    if hosts and not included and "exclude" not in values:
        facts["world_size"] = sum(count or slots for slots in hosts)
        facts["local_world_size"] = count or hosts[0]
    elif count:
        facts["world_size"] = count
    elif included:
        facts["world_size"] = len(included)
    program = setup.words.after(end)
    items = list(program.items)
    if items and not values.get("no_local_rank"):
        items[1:1] = ["--local_rank=0"]
    if values.get("module") and items:
        items = ["-m", *items]
    launcher = {"name": "deepspeed", **values, "include_slots": included}
    launcher["excluded"] = len(_slots(str(values.get("exclude", ""))))
    launcher["all"] = not facts
    sources = {f"launcher.{name}": place for name, place in places.items()}
    environ = {"RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "WORLD_SIZE": "…"}
    if facts and not setup.assumed:
        facts.setdefault("local_world_size", facts["world_size"])
    return Launched(
        Reading({"launcher": launcher}, sources, {} if setup.assumed else facts),
        Words(tuple(items), program.first),
        environ,
    )


LAUNCHER = Launcher("deepspeed", _matches, _read)
