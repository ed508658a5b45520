"""Which fields of `zero_optimization` DeepSpeed reads at each stage, seen while it really runs.

    python tools/harvest_zero_reads.py --out tests/recorded/deepspeed/zero_reads/0.19.8.json

Run it with the Python of an environment that has DeepSpeed. One process builds the engine, trains two
steps, saves, and loads again, once for each stage; every read of a field of DeepSpeedZeroConfig
outside the parsing is noted. A field that no run of a stage reads does nothing there.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

STAGES = (0, 1, 2, 3)


def reads(stage: int, folder: str) -> list[str]:
    """The fields that one run at this stage reads. Needs a process of its own."""
    import deepspeed
    import torch

    # compiled for minutes, and one process shares nothing; `deepspeed.comm.torch` itself names torch
    sys.modules["deepspeed.comm.torch"].build_shm_op = lambda: None  # type: ignore[attr-defined]
    deepspeed.init_distributed("gloo")
    seen = _watched()
    config: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": 1,
        "bf16": {"enabled": True},
        "optimizer": {"type": "AdamW", "params": {"lr": 1e-3, "torch_adam": True}},
        "zero_optimization": {"stage": stage},
    }
    # as Transformers does: zero.Init at stage 3 alone
    split = deepspeed.zero.Init(config_dict_or_path=config) if stage == 3 else contextlib.nullcontext()
    with split:
        model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Linear(8, 1))
    engine, *_ = deepspeed.initialize(model=model, model_parameters=model.parameters(), config=config)
    for _ in range(2):
        loss = engine(torch.ones(1, 8, dtype=torch.bfloat16)).sum()
        engine.backward(loss)
        engine.step()
    engine.save_checkpoint(folder)
    engine.save_16bit_model(folder)
    engine.load_checkpoint(folder)
    return sorted(_name_of(field) for field in seen)


def _watched() -> set[str]:
    """Fields read from now on, except while a config is parsed."""
    from deepspeed.runtime.config import DeepSpeedConfig
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig

    names = set(DeepSpeedZeroConfig.model_fields)
    seen: set[str] = set()
    parsing = [0]
    plain, parse = DeepSpeedZeroConfig.__getattribute__, DeepSpeedConfig.__init__

    def read(self: Any, name: str) -> Any:
        if name in names and not parsing[0]:
            seen.add(name)
        return plain(self, name)

    def parsed(self: Any, *args: Any, **kwargs: Any) -> None:
        parsing[0] += 1
        try:
            parse(self, *args, **kwargs)
        finally:
            parsing[0] -= 1

    DeepSpeedZeroConfig.__getattribute__ = read
    DeepSpeedConfig.__init__ = parsed
    return seen


def _name_of(field: str) -> str:
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig

    return str(DeepSpeedZeroConfig.model_fields[field].alias or field)


def harvest() -> dict[str, Any]:
    """The reads of every stage, each in a fresh process."""
    found: dict[str, Any] = {}
    built = {"TORCH_EXTENSIONS_DIR": str(Path(sys.prefix) / "torch_extensions"), "DS_ACCELERATOR": "cpu"}
    for stage in STAGES:
        environ = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1"}
        environ["MASTER_PORT"] = _free_port()
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "reads.json"
            run = [sys.executable, __file__, "--stage", str(stage), "--out", str(out)]
            subprocess.run(run, env={**os.environ, **built, **environ}, check=True, stdout=subprocess.DEVNULL)
            found[str(stage)] = json.loads(out.read_text(encoding="utf-8"))
    return {
        "generator": "tools/harvest_zero_reads.py",
        "deepspeed": importlib.metadata.version("deepspeed"),
        "reads": found,
    }


def _free_port() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


def main() -> None:
    """Write one version's reads; with --stage, those of one stage (this program calls itself so)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--stage", type=int)
    given = parser.parse_args()
    if given.stage is None:
        text = json.dumps(harvest(), indent=1, sort_keys=True)
    else:
        with tempfile.TemporaryDirectory() as folder:
            text = json.dumps(reads(given.stage, folder))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
