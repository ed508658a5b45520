"""A DeepSpeed config in the spec's words: the way back from `dsbridge.deepspeed.config`.

The framework around it fills some keys from arguments of its own (`Dialect.takes`): what those say is the
argument's, and its parser claims them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dsbridge.claims import Claim, Draft, Key
from dsbridge.deepspeed.config import ds_table
from dsbridge.deepspeed.dialect import Dialect
from dsbridge.deepspeed.optimizer import PARAMS, TYPES
from dsbridge.deepspeed.rendering import DIALECT
from dsbridge.deepspeed.scheduler_parsing import scheduler_claims
from dsbridge.reading import Reading, Setup
from dsbridge.trees import lookup
from dsbridge.values import UNSET, Unknown

# where torchrun meets unless told: nobody's wish
_HERE, _PORT = "127.0.0.1", "29500"
_TORCHRUN = {"nodes": "nnodes", "ranks": "nproc_per_node", "addr": "master_addr", "port": "master_port"}
_DEEPSPEED = {"nodes": "num_nodes", "ranks": "num_gpus", "addr": "master_addr", "port": "master_port"}
_ACCELERATE = {
    "nodes": "num_machines",
    "ranks": "num_processes",
    "addr": "main_process_ip",
    "port": "main_process_port",
}
_BATCH = {
    "train_micro_batch_size_per_gpu": "batch.micro_per_gpu",
    "gradient_accumulation_steps": "batch.accumulation",
    "train_batch_size": "batch.global",
}
_PARALLEL = {
    "tensor_parallel.tp_overlap_comm": "parallelism.tp_overlap_comm",
    "tensor_parallel.tensor_parallel.tp_grain_size": "parallelism.tp_grain_size",
    "tensor_parallel.preset_model": "parallelism.tp_preset_model",
}
# deepspeed/runtime/zero/config.py: the older names, and what stands for them now
_LEGACY: dict[str, tuple[str, dict[bool, str | bool]]] = {
    "zero_optimization.cpu_offload": ("zero.offload_optimizer.device", {True: "cpu"}),
    "zero_optimization.cpu_offload_params": ("zero.offload_param.device", {True: "cpu"}),
    "zero_optimization.stage3_gather_fp16_weights_on_model_save": (
        "checkpoint.gather_16bit_weights",
        {True: True, False: False},
    ),
}


def parse(setup: Setup, reading: Reading) -> Draft:
    """A config that nobody fills: "auto" stays where it is, among the native keys."""
    config = reading.trees.get("ds")
    if not isinstance(config, Mapping):
        return Draft(homes={"ds": "deepspeed"})
    found = [*cluster_claims(setup, reading), *script_claims(setup), *config_claims(config, DIALECT)]
    found += _mesh_claims(config, setup.facts.get("world_size"))
    return Draft((*found, *scheduler_claims(config, found)), {"ds": "deepspeed"})


def _mesh_claims(config: Mapping[str, Any], ranks: Any) -> Iterator[Claim]:
    """Both sizes of DeepSpeed's mesh, where they make up the ranks there are: the second follows then."""
    names = ("sequence_parallel_size", "data_parallel_size")
    split, shared = (config.get(name) for name in names)
    if isinstance(split, int) and isinstance(shared, int) and split > 1 and split * shared == ranks:
        yield Claim("parallelism.ulysses", split, tuple(("ds", name) for name in names))


def cluster_claims(setup: Setup, reading: Reading) -> Iterator[Claim]:
    """What torchrun or `accelerate launch` was told of nodes and GPUs."""
    if setup.assumed:
        return
    torchrun, launch = reading.trees.get("torchrun") or {}, reading.trees.get("launch") or {}
    yield from rank_claims(torchrun, "torchrun", _TORCHRUN)
    yield from _meeting_claims(torchrun)
    yield from rank_claims(reading.trees.get("launcher") or {}, "launcher", _DEEPSPEED)
    ranks, nodes = launch.get("num_processes"), launch.get("num_machines", 1)
    if isinstance(ranks, int) and isinstance(nodes, int) and nodes > 0 and ranks % nodes == 0:
        each = {**launch, "num_processes": ranks // nodes, "num_machines": nodes}
        yield from rank_claims(each, "launch", _ACCELERATE)
    elif isinstance(nodes, int) and nodes > 1:  # how many GPUs they have is not known
        yield from rank_claims({**launch, "num_processes": ""}, "launch", _ACCELERATE)


def _meeting_claims(torchrun: Mapping[str, Any]) -> Iterator[Claim]:
    """A rendezvous at which nodes number themselves, and how often processes are started again."""
    for name, path in (("max_restarts", "launch.max_restarts"), ("rdzv_id", "launch.rendezvous_id")):
        value = torchrun.get(name)
        if isinstance(value, str) and value:
            count = name == "max_restarts" and value.isascii() and value.isdigit()
            yield Claim(path, int(value) if count else value, (("torchrun", name),))
    least, colon, most = str(torchrun.get("nnodes", "")).partition(":")
    if colon and least.isdigit() and most.isdigit():
        key = (("torchrun", "nnodes"),)
        yield Claim("launch.min_nodes", int(least), key)
        yield Claim("launch.max_nodes", int(most), key)
    if torchrun.get("rdzv_backend") != "c10d":
        return
    yield Claim("launch.rendezvous", "c10d", (("torchrun", "rdzv_backend"),))
    host, _, port = str(torchrun.get("rdzv_endpoint", "")).rpartition(":")
    met = {"master_addr": host, "master_port": port, "rdzv_endpoint": ""}
    yield from rank_claims(met, "torchrun", {**_TORCHRUN, "addr": "master_addr", "port": "master_port"})


def script_claims(setup: Setup) -> Iterator[Claim]:
    """The user's own program and what starts it; `train.py` and torchrun are what rendering takes anyway."""
    name = setup.words.items[0] if setup.words.items and not setup.assumed else "train.py"
    if name.endswith(".py") and name != "train.py":
        yield Claim("launch.script", name)
    for launcher, kind in (("accelerate launch", "accelerate"), ("deepspeed", "deepspeed")):
        if launcher in setup.launchers and not setup.assumed:
            yield Claim("launch.kind", kind)


def rank_claims(said: Mapping[str, Any], tree: str, names: Mapping[str, str]) -> Iterator[Claim]:
    """Nodes, GPUs of a node and, with several nodes, the first node's address, by a launcher's own names."""
    rows = (("nodes", "cluster.nodes"), ("ranks", "cluster.gpus_per_node"), ("port", "launch.master_port"))
    for name, path in rows:
        value = str(said.get(names[name], ""))
        if value.isascii() and value.isdigit() and (name, value) != ("port", _PORT):
            yield Claim(path, int(value), ((tree, names[name]),))
    address = said.get(names["addr"])
    if isinstance(address, str) and address not in ("", _HERE):
        yield Claim("launch.master_addr", address, ((tree, names["addr"]),))


def config_claims(config: Mapping[str, Any], dialect: Dialect) -> Iterator[Claim]:
    """What the keys of a config say that no argument of the framework decides."""
    for key, path in {**_BATCH, **ds_table(), **_PARALLEL}.items():
        value = lookup(config, key)
        if key in dialect.takes or value is None or isinstance(value, Unknown) or value is UNSET:
            continue
        if value == "auto" and key not in dialect.fills:
            continue  # a word for somebody who is not there
        yield Claim(path, value, (ds(key),))
    for key, (path, words) in _LEGACY.items():
        value = lookup(config, key)
        if isinstance(value, bool) and value in words:
            yield Claim(path, words[value], (ds(key),))
    yield from _switch(config)
    yield from _tensor_parallel(config)
    if "bf16.enabled" not in dialect.takes:
        yield from _precision(config)
        yield from _optimizer(config)


def ds(key: str) -> Key:
    """The leaf of a config's key."""
    return ("ds", *key.split("."))


def _switch(config: Mapping[str, Any]) -> Iterator[Claim]:
    """`zero_optimization: true`, from before there were stages (deepspeed/runtime/zero/config.py:51)."""
    switch, size = config.get("zero_optimization"), config.get("allgather_size")
    if isinstance(switch, bool):
        yield Claim("zero.stage", int(switch), (ds("zero_optimization"),))
        if switch and isinstance(size, int):
            yield Claim("zero.allgather_bucket_size", size, (ds("allgather_size"),))


def _tensor_parallel(config: Mapping[str, Any]) -> Iterator[Claim]:
    size = lookup(config, "tensor_parallel.autotp_size")
    if isinstance(size, int) and size > 1:
        yield Claim("parallelism.tp", size, (ds("tensor_parallel.autotp_size"),))


def _precision(config: Mapping[str, Any]) -> Iterator[Claim]:
    """bf16 and fp16 as one choice; anything but a plain yes and no stays as it is."""
    given = {name: lookup(config, f"{name}.enabled") for name in ("bf16", "fp16")}
    said = {name: value for name, value in given.items() if value is not UNSET}
    if not said or not all(isinstance(value, bool) for value in said.values()):
        return
    on = [name for name, value in said.items() if value]
    if len(on) < 2:
        keys = tuple(ds(f"{name}.enabled") for name in said)
        yield Claim("precision.dtype", on[0] if on else "fp32", keys)


def _optimizer(config: Mapping[str, Any]) -> Iterator[Claim]:
    """The block, if its name is one of ours and its numbers are numbers."""
    block = config.get("optimizer")
    if not isinstance(block, Mapping):
        return
    kind = next((name for name, said in TYPES.items() if said == block.get("type")), None)
    params = block.get("params")
    if kind is None or not isinstance(params, Mapping) or "auto" in params.values():
        return
    if not isinstance(params.get("lr", 0), int | float):
        return
    yield Claim("optimizer.type", kind, (ds("optimizer.type"),))
    yield Claim("optimizer.owner", "deepspeed")
    for name in PARAMS[kind]:
        value = params.get(name)
        if value is not None:
            yield Claim(f"optimizer.{name}", value, (ds(f"optimizer.params.{name}"),))


# the optimizers whose block rendering writes: DeepSpeed's name and the numbers it takes
OPTIMIZERS = {name: (said, PARAMS[name]) for name, said in TYPES.items()}


def default_clipping(version: str) -> float:
    """What DeepSpeed clips at when its config does not say: nothing up to 0.18, 1.0 in 0.19.8."""
    from dsbridge.deepspeed.layer import defaults

    return float(defaults({"deepspeed": version} if version else {})["gradient_clipping"])
