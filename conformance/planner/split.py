"""What layers keep under an engine of DeepSpeed, seen on the first of one or two CPU ranks, each in a process
of its own: an engine changes functions of torch for good.

Two ranks share a model by AutoTP or a sequence by Ulysses; one alone shows what a stage does to adapters.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any


def seen(case: dict[str, Any]) -> dict[str, Any]:
    """The answer of the first rank."""
    world = case.get("tp", 1) * case.get("ulysses", 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "seen.json"
        start = multiprocessing.get_context("spawn").Process
        ranks = [start(target=rank_main, args=(case, rank, world, port, str(out))) for rank in range(world)]
        for process in ranks:
            process.start()
        for process in ranks:
            process.join(120)
            if process.is_alive():
                process.kill()
        if not out.is_file():
            raise RuntimeError("a rank ended without an answer")
        found = json.loads(out.read_text(encoding="utf-8"))
        assert isinstance(found, dict)
        return found


def config_of(case: dict[str, Any]) -> dict[str, Any]:
    """The DeepSpeed config of a case."""
    from conformance.planner.activations import BATCH

    config: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": BATCH,
        "zero_optimization": {"stage": case.get("engine", 1)},
        "bf16": {"enabled": True},
        "zero_force_ds_cpu_optimizer": False,
        "zero_allow_untested_optimizer": True,
    }
    if "ulysses" in case:
        config["sequence_parallel_size"] = case["ulysses"]
    if "tp" in case:
        config["tensor_parallel"] = {"autotp_size": case["tp"]}
    return config


def model_of(case: dict[str, Any], config: dict[str, Any]) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """The model, its config, and what else the engine is given."""

    from conformance.planner.activations import BATCH, SEQUENCE, build

    if case.get("init"):
        from transformers.integrations import HfDeepSpeedConfig

        build(case)  # what is imported only when a model is made, torch refuses to import inside
        keep = HfDeepSpeedConfig(config)  # as long as it lives, transformers makes models under zero.Init
        model, told = build(case)
        assert keep is not None
        return model, told, {}
    model, told = build(case)
    if "ulysses" not in case:
        return model, told, {}
    from deepspeed.runtime.sequence_parallel.ulysses_sp import UlyssesSPAttentionHF

    groups = UlyssesSPAttentionHF.register_with_transformers(
        model_name_or_path=model,
        core_attn_implementation="sdpa",
        sequence_parallel_size=case["ulysses"],
        micro_batch_size=BATCH,
        seq_length=SEQUENCE,
        seq_length_is_variable=True,
    )
    return model, told, {"mpu": groups}


def batch(case: dict[str, Any], vocabulary: int, rank: int) -> dict[str, Any]:
    """A micro batch, cut for Ulysses, which computes no loss inside."""
    import torch

    from conformance.planner.activations import BATCH, SEQUENCE

    ids = torch.randint(3, vocabulary, (BATCH, SEQUENCE))
    if "ulysses" not in case:
        return {"input_ids": ids, "labels": ids.clone()}
    places = torch.arange(SEQUENCE).unsqueeze(0).expand(BATCH, -1)
    cut = {"input_ids": ids, "position_ids": places}
    return {name: one.chunk(case["ulysses"], dim=1)[rank].contiguous() for name, one in cut.items()}


def rank_main(case: dict[str, Any], rank: int, world: int, port: str, out: str) -> None:
    """One rank: an engine, one forward pass under watch, one backward pass and a step."""
    os.environ.update({"DS_ACCELERATOR": "cpu", "RANK": str(rank), "LOCAL_RANK": str(rank)})
    os.environ.update({"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port})
    import deepspeed
    import torch

    from conformance.planner.activations import Kept

    torch.set_num_threads(1)
    sys.modules["deepspeed"].ops.__compatible_ops__["deepspeed_shm_comm"] = False  # type: ignore[attr-defined]
    deepspeed.init_distributed("gloo", verbose=False)
    config = config_of(case)
    model, told, extra = model_of(case, config)
    before = dtypes(model)
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=1e-3, foreach=False)
    engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=config, **extra)
    given = batch(case, told["vocab_size"], rank)
    kept = Kept(engine.module)
    kept.known.update(t.untyped_storage().data_ptr() for t in given.values())
    kept.watch(engine.module)
    if case.get("engine") == 3:  # gathered weights are other storages each time
        kept.parameters = {
            (tuple(getattr(p, "ds_shape", p.shape)), p.dtype) for p in engine.module.parameters()
        }
    with torch.autograd.graph.saved_tensors_hooks(kept.pack, lambda t: t):
        result = engine(**given)
        loss = result.loss if "labels" in given else result.logits.float().square().mean()
    engine.backward(loss)
    engine.step()
    if rank == 0:
        answer = {"config": told, "kept": kept.bytes, "dtypes": [before, dtypes(engine.module)]}
        if os.environ.get("SHAPES"):
            answer["shapes"] = kept.shapes
        part = Path(out).with_suffix(".part")
        part.write_text(json.dumps(answer), encoding="utf-8")
        part.rename(out)
    torch.distributed.barrier()


def dtypes(model: Any) -> dict[str, list[str]]:
    """The dtypes there are, of adapters and of all else."""
    found: dict[str, set[str]] = {"adapters": set(), "base": set()}
    for name, parameter in model.named_parameters():
        kind = "adapters" if "lora_" in name else "base"
        found[kind].add(str(parameter.dtype).removeprefix("torch."))
    return {kind: sorted(names) for kind, names in found.items()}
