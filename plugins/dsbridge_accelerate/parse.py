"""Accelerate's files in the spec's words: the way back from `render`.

What the spec has no word for stays under `frameworks.accelerate`, as the YAML says it. The script is the
user's, and named by the spec: what it says is claimed, nothing of it is copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from dsbridge.rulebook import Reading, Setup, Unknown
from dsbridge.sdk import Claim, Diagnostic, Draft, InputError, claimed_by, cluster_claims, joined
from dsbridge_accelerate.asked import NOT_ASKED, place_of
from dsbridge_accelerate.codes import ARGUMENTS, DECLINED, MEGATRON, UNREADABLE
from dsbridge_accelerate.fields import FP8_BACKEND, MIXED_PRECISION
from dsbridge_accelerate.given import Given, given_of, mapping, number
from dsbridge_accelerate.parse_deepspeed import deepspeed_part
from dsbridge_accelerate.parse_fsdp import fsdp_claims, unasked
from dsbridge_accelerate.parse_script import clips, script_says, silent
from dsbridge_accelerate.reader import YOURS, script_of

_WORDS = {said: name for name, said in MIXED_PRECISION.items()}
_ADDRESS = (("main_process_ip", "launch.master_addr"), ("main_process_port", "launch.master_port"))
Key = tuple[str, ...]


def parse(setup: Setup, reading: Reading) -> Draft:
    """YAML, flags, DeepSpeed's file and the script together.

    Raises:
        InputError: the YAML cannot be read, or asks for what dsbridge does not do.
    """
    given = given_of(setup, reading)
    _decline(given, reading)
    parts = [_homes(given), _cluster(setup, reading, given), _precision(given), _type(given)]
    if given.way == "deepspeed":
        parts.append(deepspeed_part(given))
    else:
        claims = list(fsdp_claims(given)) if given.way == "fsdp" else []
        steps, keys = given.steps()
        if steps is not None:
            claims.append(Claim("batch.accumulation", steps, keys))
        parts.append(Draft(tuple(claims), silent=unasked(claims)))
    if script_of(setup) not in ("", YOURS):
        parts.append(_script(setup, given))
    return joined(parts)._replace(implied=_implied(parts))


def launched(setup: Setup, reading: Reading) -> Draft:
    """What `accelerate launch` is told, for a program with a reader of its own: ranks and FSDP.

    The leaves are those of the tree "asked", or "yaml" where no flag was given.
    """
    given = given_of(setup, reading)
    _decline(given, reading)
    fsdp = tuple(fsdp_claims(given)) if given.way == "fsdp" else ()
    found = Draft(fsdp, silent=unasked(fsdp))
    parts = [_homes(given), _cluster(setup, reading, given), _type(given), found]
    return joined(parts)._replace(implied=_implied(parts))


def _implied(parts: Iterable[Draft]) -> dict[str, Any]:
    """Keys of one section may come from several parts."""
    found: dict[str, Any] = {}
    for name, value in (entry for part in parts for entry in part.implied.items()):
        found[name] = {**found.get(name, {}), **value} if isinstance(value, dict) else value
    return found


def _decline(given: Given, reading: Reading) -> None:
    launch, at = mapping(reading.trees.get("launch")), reading.sources
    problem = launch.get("file_problem")
    if problem:
        raise InputError([UNREADABLE(f"{launch.get('config_file')}: {problem['message']}")])
    kind = given.top.get("distributed_type")
    if kind == "MEGATRON_LM":
        where = at.get(f"{given.tree}.distributed_type")
        message = "`distributed_type: MEGATRON_LM`: dsbridge does DeepSpeed and FSDP, not Megatron-LM"
        hint = "tp, pipeline and sequence parallelism of Megatron-LM have no counterpart there."
        raise InputError([MEGATRON(message, hint=hint, key="distributed_type", at=where)])
    compute = given.top.get("compute_environment")
    if compute not in (None, "LOCAL_MACHINE"):
        message = f"`compute_environment: {compute}`: dsbridge does not start jobs there"
        where = at.get(f"{given.tree}.compute_environment")
        raise InputError(
            [DECLINED(message, hint="Write LOCAL_MACHINE.", key="compute_environment", at=where)]
        )


def _homes(given: Given) -> Draft:
    if given.tree != "asked":
        return Draft(homes={given.tree: "own"})
    flags = mapping(given.trees.get("flags"))
    taken = {("flags", name) for name in flags if place_of(name) or name in NOT_ASKED}
    homes = {given.tree: "own", "flags": ""}
    lost: dict[Key, str] = {("flags", name): "is a flag that the YAML has no key for" for name in flags}
    return Draft(homes=homes, consumed=frozenset(taken), lost=lost)


def _cluster(setup: Setup, reading: Reading, given: Given) -> Draft:
    """num_processes is all ranks."""
    top, claims = given.top, list[Claim]()
    if "accelerate launch" not in setup.launchers:
        return Draft(tuple(cluster_claims(setup, reading)))
    nodes, ranks = number(top.get("num_machines", 1)) or 1, given.ranks
    if number(top.get("num_machines")):
        claims.append(Claim("cluster.nodes", nodes, (given.key("num_machines"),)))
    if _one_by_default(given, nodes):
        claims.append(Claim("cluster.gpus_per_node", 1))
    elif ranks is not None and ranks % nodes == 0 and not _alone(given, ranks):
        claims.append(Claim("cluster.gpus_per_node", ranks // nodes, (given.key("num_processes"),)))
    rank = top.get("machine_rank")
    consumed = set()
    if rank == 0 and nodes == 1:
        consumed.add(given.key("machine_rank"))  # the only one there is
    elif rank is not None:
        claims.append(Claim("launch.node_rank", rank, (given.key("machine_rank"),)))
    for name, path in (
        ("main_process_ip", "launch.master_addr"),
        ("main_process_port", "launch.master_port"),
    ):
        if top.get(name) is not None:
            claims.append(Claim(path, top[name], (given.key(name),)))
    return Draft(tuple(claims), consumed=frozenset(consumed), implied=_defaults(given, nodes))


def _one_by_default(given: Given, nodes: int) -> bool:
    """Nothing else is one process where nobody counts: process_config in config_args.py of 1.15.0."""
    top = given.top
    return top.get("distributed_type") == "NO" and "num_processes" not in top and nodes == 1


def _alone(given: Given, ranks: int) -> bool:
    """`distributed_type: NO` starts one process, whatever else the file says."""
    return given.way == "plain" and given.top.get("distributed_type") in ("NO", False) and ranks > 1


def _defaults(given: Given, nodes: int) -> dict[str, Any]:
    """Defaults of Accelerate's that rendering has others for."""
    found: dict[str, Any] = {}
    section = given.section("deepspeed_config")
    if given.way == "deepspeed" and nodes > 1 and section.get("deepspeed_multinode_launcher") is None:
        # utils/launch.py:455 of 1.15.0
        found["deepspeed_config"] = {"deepspeed_multinode_launcher": "pdsh"}
    if given.top and "num_processes" not in given.top and not _one_by_default(given, nodes):
        found["num_processes"] = None  # to be given by flag
    return found


def _precision(given: Given) -> Draft:
    """Accelerator(mixed_precision=...) beats flag and YAML; an old file says `fp16: true`."""
    top, claims = given.top, list[Claim]()
    lost: dict[Key, str] = {}
    said = top.get("mixed_precision")
    own = given.accelerator.get("mixed_precision")
    word: Any = said
    keys: tuple[Key, ...] = (given.key("mixed_precision"),)
    if own is not None and not isinstance(own, Unknown):
        word, keys = own, (("accelerator", "mixed_precision"),)
        if said is not None and said != own:
            lost[given.key("mixed_precision")] = "gives way to Accelerator(mixed_precision=...) in the script"
        elif said is not None:
            keys = (*keys, given.key("mixed_precision"))
    elif "mixed_precision" not in top and top.get("fp16") is True:
        word, keys = "fp16", (given.key("fp16"),)
    if isinstance(word, str) and word in _WORDS and not given.unseen:
        autos = tuple(key for name in ("bf16", "fp16") if (key := _auto(given, name)))
        if given.ds is None or autos or not _decided(given):
            claims.append(Claim("precision.dtype", _WORDS[word], (*keys, *autos)))
        elif given.ds is not None and word in ("bf16", "fp16", "no"):
            lost |= {key: "is said by the DeepSpeed config" for key in keys if key[0] == given.tree}
    if word == "fp8":
        flat = {"fp8_config.backend": given.section("fp8_config").get("backend")}
        claims += [
            claim._replace(keys=(given.key("fp8_config", "backend"),))
            for claim in claimed_by((FP8_BACKEND,), flat, given.tree)
        ]
    return Draft(tuple(claims), lost=lost, silent={} if claims or said else {"precision.dtype": "fp32"})


def _auto(given: Given, name: str) -> Key | None:
    block = mapping(mapping(given.ds).get(name))
    return ("ds", name, "enabled") if block.get("enabled") == "auto" else None


def _decided(given: Given) -> bool:
    """The DeepSpeed config says a number format by itself."""
    return any("enabled" in mapping(mapping(given.ds).get(name)) for name in ("bf16", "fp16"))


def _type(given: Given) -> Draft:
    """`distributed_type` says nothing of its own where rendering would choose the same."""
    kind, ranks = given.top.get("distributed_type"), given.ranks
    if given.way == "fsdp":
        usual = given.section("fsdp_config").get("fsdp_version", 1) in (1, 2)
    elif given.way == "deepspeed":
        usual = not given.unseen
    else:
        nodes = number(given.top.get("num_machines", 1)) or 0
        one = nodes == 1 and (ranks == 1 or _one_by_default(given, nodes))
        usual = (kind == "NO" and one) or (kind == "MULTI_GPU" and (ranks or 0) > 1)
        # rendering takes what these say for DeepSpeed's
        other = given.top.get("mixed_precision") == "fp8" or given.section("deepspeed_config") or clips(given)
        usual = usual and not other
    return Draft(consumed=frozenset({given.key("distributed_type")} if usual else ()))


def _script(setup: Setup, given: Given) -> Draft:
    name = script_of(setup)
    claims = [*script_says(given)]
    if name != "train.py":
        claims.insert(0, Claim("launch.script", name))
    consumed = {("accelerator", "asked_steps"), ("accelerator", "accumulation_plugin"), ("plugin", "asked")}
    if not isinstance(mapping(given.trees.get("plugin")).get("built"), Unknown):
        consumed.add(("plugin", "built"))
    lost = dict(_overruled(given))
    homes = {"accelerator": "named", "plugin": "named"}
    return Draft(tuple(claims), homes, frozenset(consumed), lost, {}, silent(given), tuple(_arguments(setup)))


def _overruled(given: Given) -> Iterator[tuple[Key, str]]:
    steps, keys = given.steps()
    own = given.accelerator.get("gradient_accumulation_steps")
    key = ("accelerator", "gradient_accumulation_steps")
    if steps is not None and own is not None and key not in keys and own != steps:
        yield key, "gives way to flag, YAML or environment"


def _arguments(setup: Setup) -> Iterator[Diagnostic]:
    words = setup.words.items[2 if setup.words.items[0] == "-m" else 1 :]
    if words and not setup.assumed:
        message = f"the script's own arguments have no place in the spec: `{' '.join(words)}`"
        yield ARGUMENTS(message, hint="Add them to the last line of launch.sh.")
