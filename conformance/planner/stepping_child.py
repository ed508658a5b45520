"""One rank of a case: what the third optimizer step of a real engine allocates at most."""

from __future__ import annotations

import json
import weakref
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from conformance.planner import models
from conformance.planner.child import DTYPES, config

STEPS = 3


class Live(TorchDispatchMode):
    """Bytes of storages that operators have made since it began and nobody has dropped; the most of them."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[int, int] = {}
        self.peak, self.at = 0, ""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        given = {one.untyped_storage()._cdata for one in tensors((args, kwargs))}
        for tensor in tensors(out):
            storage = tensor.untyped_storage()
            key = storage._cdata
            if key not in given and key not in self.sizes:
                self.sizes[key] = storage.nbytes()
                weakref.finalize(storage, self.sizes.pop, key, None)
        if (now := sum(self.sizes.values())) > self.peak:
            self.peak, self.at = now, str(func)
        return out


def tensors(tree: Any) -> list[torch.Tensor]:
    """All tensors in it."""
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def main(case: dict[str, Any], folder: Path) -> None:
    """Three steps; what the last one allocated goes to the folder."""
    import deepspeed

    deepspeed.init_distributed("gloo", verbose=False)
    rank = torch.distributed.get_rank()
    model = models.build(case)
    sizes = [[p.numel(), p.requires_grad] for p in model.parameters()]
    kind = {case["optimizer"]: True}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, **kind)
    ds = config(case)
    engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=ds)
    for step in range(STEPS):
        given = models.batch(case, model, DTYPES[case["dtype"]])
        engine.backward(engine(**given).loss)
        if step == STEPS - 1:
            with Live() as live:
                engine.step()
            found = {"sizes": sizes, "bytes": live.peak, "at": live.at}
            (folder / f"{rank}.json").write_text(json.dumps(found), encoding="utf-8")
        else:
            engine.step()
