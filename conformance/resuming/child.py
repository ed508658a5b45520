"""One rank: a real engine that trains and saves, or resumes, and what it then has."""

from __future__ import annotations

import json
import os
import traceback
from pathlib import Path
from typing import Any

import torch

from conformance.planner import models
from conformance.planner.child import DTYPES
from conformance.resuming.live import STATES, held, likeness

STEPS, MORE = 3, 3
LLAMA = {"hidden": 16, "inner": 32, "layers": 1, "kv_heads": 4, "vocab": 64}


def config(plan: dict[str, Any]) -> dict[str, Any]:
    """The DeepSpeed config of a set-up."""
    zero: dict[str, Any] = {"stage": plan["stage"]}
    if plan.get("offload"):
        zero["offload_optimizer"] = {"device": plan["offload"]}
    if plan.get("elastic"):
        zero["elastic_checkpoint"] = True
    if plan["stage"] == 3:
        zero["stage3_param_persistence_threshold"] = 0
    ds: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": 1,
        "zero_optimization": zero,
        "zero_force_ds_cpu_optimizer": False,
        "zero_allow_untested_optimizer": True,
    }
    if plan["dtype"] != "fp32":
        ds[plan["dtype"]] = {"enabled": True}
    if plan["dtype"] == "fp16":
        ds["fp16"]["initial_scale_power"] = 4
    if plan.get("accum"):
        ds["data_types"] = {"grad_accum_dtype": plan["accum"]}
    if plan.get("tp", 1) > 1:
        ds["tensor_parallel"] = {"autotp_size": plan["tp"]}
    if plan.get("universal"):
        ds["checkpoint"] = {"load_universal": True}
    if plan.get("optimizer") == "ds":
        ds["optimizer"] = {"type": "AdamW", "params": {"lr": 1e-2, "torch_adam": True}}
    if plan.get("scheduler"):
        ds["scheduler"] = {"type": "WarmupLR", "params": {"warmup_num_steps": 20, "warmup_max_lr": 1e-2}}
    return ds


def build(plan: dict[str, Any], *, fresh: bool) -> torch.nn.Module:
    """The model; fresh: the run that resumes starts from other weights, so that loading shows."""
    case = {"model": "llama" if plan.get("llama") else "small", "rank": plan.get("rank", 0), "llama": LLAMA}
    model = models.build(case)
    if fresh:
        torch.manual_seed(2)
        for parameter in model.parameters():
            if parameter.requires_grad or not plan.get("lean"):
                parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def groups(model: torch.nn.Module, plan: dict[str, Any]) -> list[dict[str, Any]]:
    """One group, or two as the Trainer makes them: with and without weight decay."""
    trained = [p for p in model.parameters() if p.requires_grad]
    if plan.get("groups", 1) == 1:
        return [{"params": trained}]
    matrices = [p for p in trained if p.dim() > 1]
    return [{"params": matrices}, {"params": [p for p in trained if p.dim() < 2], "weight_decay": 0.0}]


class Rank:
    """The engine of a set-up."""

    def __init__(self, plan: dict[str, Any], *, fresh: bool, weights: Path | None = None) -> None:
        import deepspeed

        self.plan = plan
        deepspeed.init_distributed("gloo", verbose=False)
        model = build(plan, fresh=fresh)
        if weights:
            found = torch.load(next(weights.glob("pytorch_model*.bin")), weights_only=True)
            model.load_state_dict(found, strict=not plan.get("lean"))
        if plan.get("tp", 1) > 1 and not hasattr(deepspeed.DeepSpeedEngine, "_apply_autotp_partitioning"):
            model = deepspeed.tp_model_init(model, tp_size=plan["tp"], dtype=DTYPES[plan["dtype"]])
        given = groups(model, plan)
        if plan.get("optimizer") == "ds":
            extra: dict[str, Any] = {"model_parameters": given}
        elif plan.get("optimizer") == "sgd":
            extra = {"optimizer": torch.optim.SGD(given, lr=1e-2, momentum=0.9, foreach=False)}
        else:
            extra = {"optimizer": torch.optim.AdamW(given, lr=1e-2, foreach=False)}
        # a CPU computes fp16, though DeepSpeed does not offer it there
        deepspeed.accelerator.get_accelerator().is_fp16_supported = lambda: True
        self.engine, *_ = deepspeed.initialize(model=model, config=config(plan), **extra)

    def steps(self, count: int) -> list[float]:
        """Losses of some steps. Every rank has the same batch, so that their number changes nothing."""
        return [self.loss(step=True) for _ in range(count)]

    def loss(self, *, step: bool) -> float:
        """Of the one batch that there is."""
        torch.manual_seed(3)
        dtype = DTYPES[self.plan["dtype"]]
        if self.plan.get("llama"):
            ids = torch.randint(0, LLAMA["vocab"], (1, models.TOKENS))
            loss = self.engine(input_ids=ids, labels=ids).loss
        else:
            loss = self.engine(x=torch.randn(models.TOKENS, models.STACKS["small"][0]).to(dtype))
        if step:
            self.engine.backward(loss)
            self.engine.step()
        return float(loss.item())

    def held(self) -> dict[str, Any]:
        """Master weights and states of every trained parameter."""
        return held(self.engine)

    def counters(self) -> dict[str, Any]:
        """Steps, skipped steps, the scheduler's place."""
        scheduler = self.engine.lr_scheduler
        return {
            "global_steps": self.engine.global_steps,
            "skipped_steps": self.engine.skipped_steps,
            "scheduler": getattr(scheduler, "last_batch_iteration", None) if scheduler else None,
        }


def save(case: dict[str, Any]) -> dict[str, Any]:
    """Train and save; then go on, to know how it would have gone on."""
    rank = Rank(case["plan"], fresh=False)
    rank.steps(STEPS)
    folder = Path(case["store"])
    extra = {"exclude_frozen_parameters": True} if case["plan"].get("lean") else {}
    rank.engine.save_checkpoint(str(folder / "checkpoint"), client_state={"mine": 1}, **extra)
    held, counters = rank.held(), rank.counters()
    losses = rank.steps(MORE)
    if int(os.environ["RANK"]) == 0:
        torch.save({"held": held, "counters": counters, "losses": losses}, folder / "truth.pt")
    return {"engine": type(rank.engine.optimizer).__name__, "losses": losses}


def resume(case: dict[str, Any]) -> dict[str, Any]:
    """Resume with the planned settings, and compare with what was saved."""
    given = Path(case["store"]) / "fp32" if case.get("how") == "fp32" else None
    rank = Rank(case["plan"], fresh=True, weights=given)
    strict = not case["plan"].get("lean")
    how = case.get("how", "")
    path: str | None = case["store"]
    client: dict[str, Any] | None = None
    if how != "fp32":
        path, client = rank.engine.load_checkpoint(
            str(Path(case["store"]) / "checkpoint"),
            load_module_strict=strict,
            load_module_only=how == "module",
        )
    truth = torch.load(Path(case["truth"]), weights_only=True)
    answer: dict[str, Any] = {"loaded": path is not None, "client": sorted(client or {})[:20]}
    answer["engine"] = type(rank.engine.optimizer).__name__
    if case["plan"].get("tp", 1) == 1 and case["was"].get("tp", 1) == 1:
        held = rank.held()
        answer["held"] = {key: likeness(truth["held"], held, key) for key in ("master", *STATES)}
        extra = sorted(set(held) - set(truth["held"]))
        answer["new_parameters"] = len(extra)
    was, now = truth["counters"], rank.counters()
    answer["counters"] = {key: "same" if was[key] == now[key] else now[key] for key in was}
    losses = rank.steps(MORE)
    rate = 2e-2 if case["plan"]["dtype"] != case["was"]["dtype"] else 5e-3
    same = all(abs(a - b) <= rate * abs(a) for a, b in zip(truth["losses"], losses, strict=True))
    answer["goes_on"] = "same" if same else "other"
    answer["losses"] = [[round(a, 4), round(b, 4)] for a, b in zip(truth["losses"], losses, strict=True)]
    return answer


def where(error: BaseException) -> str:
    """The function that failed."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{'/'.join(Path(frames[-1].filename).parts[-2:])} {frames[-1].name}: {frames[-1].line}"


def main(case: dict[str, Any], out: Path) -> None:
    """Do what the case says and write what was seen."""
    torch.set_num_threads(1)
    rank = int(os.environ["RANK"])
    try:
        answer = save(case) if case["act"] == "save" else resume(case)
    except AssertionError as error:
        if str(error):
            raise
        raise AssertionError(f"(no message) in {where(error)}") from None
    (out / f"{rank}.part").write_text(json.dumps(answer), encoding="utf-8")
    (out / f"{rank}.part").rename(out / f"{rank}.json")
