"""One config in one forked process: DeepSpeedConfig reads it, then deepspeed.initialize up to its engine."""

from __future__ import annotations

import json
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from conformance.ds_configs.cases import plain
from conformance.ds_configs.tracing import Auto, Record, Traced, kept, leaves, traced
from dsbridge.observe import after_import, child, cpu, fake

FILE = "ds_config.json"
WORLD = 4
Path_ = tuple[str, ...]
LONGEST = 3000


def preload() -> None:
    """Import DeepSpeed once, for all the forks."""
    os.environ |= child.ENVIRONMENT
    after_import.install(cpu.HOOKS)
    import deepspeed.runtime.config_utils as utils
    import torch.testing._internal.distributed.fake_pg
    from deepspeed.ops import adam
    from deepspeed.runtime.config import DeepSpeedConfig

    assert torch
    assert adam
    real = utils.DeepSpeedConfigModel.__init__

    def spied(self: Any, strict: Any = False, **data: Any) -> None:
        known = {name for key, info in type(self).model_fields.items() for name in (key, info.alias)}
        for key, value in data.items():
            if isinstance(value, Auto) and not strict and key != "replace_method":
                RECORD[0].dropped[value.path] = key in known
            if isinstance(value, Traced):
                RECORD[0].handed.add(value.path)
        real(self, strict, **data)

    utils.DeepSpeedConfigModel.__init__ = spied
    # It goes through all keys, to show them: nothing is read.
    DeepSpeedConfig.print = lambda self, name: None
    # As on a machine with GPUs.
    sys.modules["deepspeed.runtime.swap_tensor.aio_config"].get_accelerator = _Gpu  # type: ignore[attr-defined]
    # Compiled when first used, for CPU ranks that share memory.
    sys.modules["deepspeed.comm.torch"].build_shm_op = lambda: None  # type: ignore[attr-defined]


class _Gpu:
    """What the block `aio` asks of an accelerator: GPUDirect storage is for CUDA."""

    def device_name(self) -> str:
        return "cuda"


RECORD = [Record()]


@contextmanager
def tracing() -> Iterator[Record]:
    """Whoever opens a config with hjson, as DeepSpeed does, gets it traced."""
    import hjson

    record, real = Record(), hjson.load
    RECORD[0] = record

    def load(*args: Any, **options: Any) -> Any:
        return traced(real(*args, **options), record)

    hjson.load = load
    try:
        yield record
    finally:
        hjson.load = real


def observe(text: str) -> dict[str, Any]:
    """What DeepSpeed makes of the file. The working directory is the case's own."""
    Path(FILE).write_text(text, encoding="utf-8")
    _world()
    from deepspeed.runtime.config import DeepSpeedConfig

    with tracing() as record:
        try:
            config = DeepSpeedConfig(FILE)
        except BaseException as problem:  # whatever it raises is what we came for
            error, again = _error(problem), _initialize()
            return {
                "outcome": "refused",
                "error": error,
                "initialize": "the same" if again == error else again,
            }
        own = config._param_dict
        read = _read(record, own, kept(config))
    found: dict[str, Any] = {"outcome": "accepted", "becomes": _becomes(config, record)}
    with tracing() as record:
        found["initialize"] = _initialize()
        read |= _read(record, own, set())
    left = [path for path in leaves(own) if path and path not in read]
    asleep = _asleep(json.loads(json.dumps(own)), left)
    found["asleep"] = sorted(".".join(path) for path in left if path in asleep)
    found["ignored"] = sorted(".".join(path) for path in left if path not in asleep)
    return found


def _world() -> None:
    import deepspeed

    os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": str(WORLD)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
    fake.fake_process_group()
    fake.abilities({"bf16": True, "fp16": True}, WORLD)
    deepspeed.init_distributed("gloo", verbose=False)


def _read(record: Record, config: Any, held: set[Path_]) -> set[Path_]:
    """The leaves that somebody read, or holds on to with the block they stand in."""
    whole = record.handed | held
    met = record.named
    found = set()
    for path in leaves(config):
        above = [path[:end] for end in range(1, len(path))]
        if record.dropped.get(path) is False:
            continue
        if path in met or path in record.dropped or any(block in whole for block in above):
            found.add(path)
    return found


def _asleep(config: dict[str, Any], left: list[Path_]) -> set[Path_]:
    """Leaves that DeepSpeed reads once their blocks are switched on and named, or alone, or from a dict."""
    batch = {"train_micro_batch_size_per_gpu": 1}
    tops = {path[0] for path in left}
    found = _reads({"zero_optimization": True, **batch, **{key: config[key] for key in tops}})
    for top in sorted({path[0] for path in left if len(path) > 1}):
        awake = json.loads(json.dumps(config))
        for path in (p for p in left if p[0] == top):
            node = awake
            for name in path[:-1]:
                node = node[name]
                node |= {"enabled": True}
                if top in ("optimizer", "scheduler") and node is awake[top]:
                    node["type"] = node.get("type") or "Adam"
        found |= _reads(awake) | _reads({**batch, top: awake[top]})
    return found


def _reads(config: dict[str, Any]) -> set[Path_]:
    """What is read of another config, from a file and from a dict."""
    from deepspeed.runtime.config import DeepSpeedConfig

    Path(FILE).write_text(json.dumps(config), encoding="utf-8")
    with tracing() as record:
        held: set[Path_] = set()
        given = traced(config, record)
        for source in (FILE, given):
            try:
                held |= kept(DeepSpeedConfig(source))
            except Exception:
                traceback.print_exc()
        _initialize(given)
    return _read(record, config, held)


class Stop(BaseException):
    """The engine would be built now; from here on it has DeepSpeedConfig alone."""


def _initialize(config: Any = FILE) -> Any:
    """Whether deepspeed.initialize comes as far as its engine; else why not."""
    import deepspeed
    import torch

    def stop(*args: Any, **options: Any) -> None:
        raise Stop

    deepspeed.DeepSpeedEngine = deepspeed.DeepSpeedHybridEngine = stop
    model = torch.nn.Linear(8, 8)
    try:
        deepspeed.initialize(model=model, model_parameters=model.parameters(), config=config)
    except Stop:
        return "engine"
    except BaseException as problem:
        return _error(problem)
    return "returned"


def _error(problem: BaseException) -> dict[str, Any]:
    traceback.print_exc()
    found = {"type": type(problem).__name__, "message": _clean(str(problem)), "at": child.at(problem)}
    errors = getattr(problem, "errors", None)
    if callable(errors):
        found["fields"] = sorted({".".join(str(part) for part in entry["loc"]) for entry in errors()})
    return found


def _clean(text: str) -> str:
    text = text.replace(str(Path.cwd().resolve()), "<case>").replace(sys.prefix, "<env>")
    return plain(re.sub(r"0x[0-9a-f]{8,}", "0x…", text)[:LONGEST])


# Where DeepSpeedConfig keeps what it made of a block.
_MADE = {
    "zero_optimization": ("zero_config",),
    "fp16": ("float16_config",),
    "bf16": ("bfloat16_config",),
    "comms_logger": ("comms_config", "comms_logger"),
    "hybrid_engine": ("hybrid_engine",),
    "compile": ("compile_config",),
    "tensor_parallel": ("tensor_parallel_config",),
    "tensorboard": ("monitor_config", "tensorboard"),
    "wandb": ("monitor_config", "wandb"),
    "csv_monitor": ("monitor_config", "csv_monitor"),
    "comet": ("monitor_config", "comet"),
}


def _becomes(config: Any, record: Record) -> dict[str, Any]:
    """What stands in DeepSpeed's own objects for each "auto" that they took away and know."""
    found = {}
    for path, known in record.dropped.items():
        node = config
        for name in (*_MADE.get(path[0], ("",)), *path[1:]):
            node = _field(node, name)
        if known:
            found[".".join(path)] = node
    return {path: value for path, value in found.items() if _plain(value)}


def _field(node: Any, name: str) -> Any:
    fields = getattr(type(node), "model_fields", {})
    name = next((key for key, info in fields.items() if info.alias == name), name)
    return getattr(node, name, None)


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)
