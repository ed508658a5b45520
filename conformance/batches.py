"""How many samples an optimizer step really trains, against the number that DeepSpeed's engine reports.

    python -m conformance.batches --env hf --out tests/recorded/batches/hf.jsonl

Real ranks over gloo train three steps. Row i of the data is nothing but token i, so each forward pass tells
which rows it saw, and the rows that all ranks saw in one step are counted once each: this is the true batch,
also where several ranks share a row (tensor parallelism) or a part of each (sequence parallelism).
`tests/test_true_batch.py` holds `explain` to it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from conformance.launcher import alone, child_environment, tail
from conformance.oracle.case import write_lines
from conformance.oracle.server import versions

TIMEOUT = 240.0
STEPS = 3
HEAD = """import json, os
import torch
from torch.utils.data import DataLoader
from transformers import AutoModelForCausalLM, LlamaConfig{imports}

ROWS = [{{"input_ids": torch.full((16,), i), "labels": torch.full((16,), i),
         "position_ids": torch.arange(16)}}
        for i in range(64)]
SEEN = []


def note(module, args, given):
    SEEN.append(sorted(set(given["input_ids"].flatten().tolist())))


def tell(engine):
    found = {{"reported": engine.train_batch_size(), "seen": SEEN,
             "steps": engine.gradient_accumulation_steps()}}
    with open(f"seen-{{os.environ['RANK']}}.json", "w") as file:
        json.dump(found, file)


def small():
    config = LlamaConfig(vocab_size=64, hidden_size=32, intermediate_size=32, num_hidden_layers=1,
                         num_attention_heads=4, num_key_value_heads=4, attn_implementation="sdpa")
    model = AutoModelForCausalLM.from_config(config)
    model.register_forward_pre_hook(note, with_kwargs=True)
    return model

"""
ACCELERATE = """
accelerator = Accelerator(deepspeed_plugin=DeepSpeedPlugin(hf_ds_config="ds.json"),
                          mixed_precision="bf16"{shape})
model = small()
optimizer, loader = torch.optim.AdamW(model.parameters(), lr=1e-3), DataLoader(ROWS, batch_size=2)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
for batch in loader:
    with accelerator.accumulate(model):
        accelerator.backward(model(**batch, use_cache=False).logits.float().mean())
        optimizer.step()
        optimizer.zero_grad()
    if model.global_steps == 3:
        break
tell(model)
"""
TRAINER = """
arguments = HfArgumentParser(TrainingArguments).parse_args_into_dataclasses()[0]
trainer = Trainer(model=small(), args=arguments, train_dataset=ROWS)
trainer.train()
tell(trainer.model_wrapped)
"""
OWN = "engine, _, loader, _ = deepspeed.initialize(model=small(), config='ds.json', training_data=ROWS)"
# DeepSpeed's own loader takes the rank in the world for one of the data parallel ones, and stops here.
MESH = """engine, _, _, _ = deepspeed.initialize(model=small(), config='ds.json')
share, group = engine.data_parallel_group, torch.distributed
sampler = DistributedSampler(ROWS, group.get_world_size(share), group.get_rank(share))
loader = DataLoader(ROWS, batch_size=2, sampler=sampler)"""
BARE = """
{engine}
for batch in loader:
    engine.backward(engine(**batch, use_cache=False).logits.float().mean())
    engine.step()
    if engine.global_steps == 3:
        break
tell(engine)
"""
_SHAPE = (
    ', parallelism_config=ParallelismConfig(sp_backend="deepspeed", sp_size=%d, '
    "dp_replicate_size=%d, "
    'sp_handler=DeepSpeedSequenceParallelConfig(sp_attn_implementation="sdpa"))'
)
_DS: dict[str, Any] = {
    "zero_optimization": {"stage": 1},
    "train_micro_batch_size_per_gpu": 2,
    "gradient_accumulation_steps": 2,
    "bf16": {"enabled": True},
}
_ADAM = {"optimizer": {"type": "AdamW", "params": {"lr": 1e-3, "torch_adam": True}}}
_TP = {"tensor_parallel": {"autotp_size": 2}}
_PLUGINS = (
    "\nfrom accelerate import Accelerator, ParallelismConfig"
    "\nfrom accelerate.utils import DeepSpeedPlugin, DeepSpeedSequenceParallelConfig"
)
_TRAINER = "\nfrom transformers import HfArgumentParser, Trainer, TrainingArguments"
_ARGUMENTS = [
    "--output_dir",
    "o",
    "--deepspeed",
    "ds.json",
    "--bf16",
    "--max_steps",
    "3",
    "--report_to",
    "none",
    "--save_strategy",
    "no",
    "--per_device_train_batch_size",
    "2",
    "--gradient_accumulation_steps",
    "2",
    "--logging_strategy",
    "no",
]


def _case(name: str, ranks: int, imports: str, body: str, ds: dict[str, Any], **more: Any) -> dict[str, Any]:
    files = {"train.py": HEAD.format(imports=imports) + body, "ds.json": json.dumps({**_DS, **ds})}
    command = ["torchrun", f"--nproc_per_node={ranks}", "train.py", *more.pop("words", ())]
    return {"id": name, "files": files, "command": command, "environ": more.pop("environ", {})}


def _accelerate(name: str, ranks: int, shape: str = "", ds: dict[str, Any] | None = None) -> dict[str, Any]:
    return _case(f"accelerate/{name}", ranks, _PLUGINS, ACCELERATE.format(shape=shape), ds or {})


def cases() -> list[dict[str, Any]]:
    """Every framework without, with tensor and with sequence parallelism."""
    trainer: dict[str, Any] = {"imports": _TRAINER, "body": TRAINER, "words": _ARGUMENTS}
    bare: dict[str, Any] = {"imports": "\nimport deepspeed", "body": BARE.format(engine=OWN)}
    sampler = "\nfrom torch.utils.data import DistributedSampler\nimport deepspeed"
    mesh = {"sequence_parallel_size": 2, "data_parallel_size": 2}
    return [
        _accelerate("two", 2),
        _accelerate("sequence-of-two", 2, _SHAPE % (2, 1)),
        _accelerate("sequence-of-four", 4, _SHAPE % (2, 2)),
        _accelerate("tensor-of-four", 4, ds=_TP),
        _case("trainer/two", 2, ds={}, **trainer),
        _case("trainer/tensor-of-four", 4, ds=_TP, **trainer),
        _case("deepspeed/two", 2, ds=_ADAM, **bare),
        _case("deepspeed/tensor-of-four", 4, ds={**_ADAM, **_TP}, **bare),
        _case("deepspeed/mesh-of-four", 4, sampler, BARE.format(engine=MESH), {**_ADAM, **mesh}),
        _case("deepspeed/sequence-of-four", 4, ds={**_ADAM, "sequence_parallel_size": 2}, **bare),
    ]  # fmt: skip


def run(case: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The case with what its ranks saw, or with how it ended."""
    for name, text in case["files"].items():
        (folder / name).write_text(text, encoding="utf-8")
    environment = child_environment(folder, folder / "record.json", case["environ"])
    log = folder / "log.txt"
    with alone(), log.open("w", encoding="utf-8") as out:
        subprocess.run(
            case["command"], cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, timeout=TIMEOUT, check=False,
        )  # fmt: skip
    ranks = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("seen-*.json"))]
    if not ranks:
        return {**case, "trained": None, "ended": tail(log, 12)}
    each = ranks[0]["steps"]
    trained = [_distinct(ranks, step * each, each) for step in range(STEPS)]
    return {**case, "trained": trained, "reported": ranks[0]["reported"]}


def _distinct(ranks: list[dict[str, Any]], first: int, count: int) -> int:
    """Rows of one optimizer step, over all ranks, each once."""
    return len({row for rank in ranks for seen in rank["seen"][first : first + count] for row in seen})


def main() -> int:
    """Run the cases and store what was seen; exit code 1 if one trained nothing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", default="", help="cases whose id contains this")
    options = parser.parse_args()
    rows = []
    for case in cases():
        if options.only not in case["id"]:
            continue
        with tempfile.TemporaryDirectory(prefix="batch-") as name:
            row = run(case, Path(name))
        print(row["id"], row["trained"], row.get("reported"), row.get("ended", ""), flush=True)
        rows.append({**row, "env": options.env, "versions": versions()})
    kept = [row for row in rows if row["trained"]]
    write_lines(options.out, kept)
    return 0 if len(kept) == len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
