"""Migrations on the real frameworks: `python -m conformance.migrations` in the development environment.

For each: two real ranks train the source up to the engine, in the source's environment; `migrate` writes the
target's files; two real ranks take those, in the target's environment; and both engines must be the same in
what they train (batch, clipping, stage, number format, optimizer). One is trained for three steps on both
sides, with equal rows and seed: the losses must be equal to 1e-4.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from conformance.oracle.case import Case, complete
from conformance.oracle.cases import _llamafactory_files as lf
from conformance.oracle.cases import _xtuner_files as xtuner

ROOT = Path(__file__).resolve().parents[1]
TOLD = (
    *("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps"),
    *("gradient_clipping", "zero_stage", "fp16", "bf16", "optimizer"),
)
ENVIRONMENT = {"llamafactory": "llamafactory", "xtuner": "xtuner", "trainer": "hf", "accelerate": "hf"}
# A user's script of the Trainer that reads the arguments dsbridge writes.
TRAINER_SCRIPT = """
import json

import torch
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

with open("training_args.json", encoding="utf-8") as file:
    args = TrainingArguments(**json.load(file))
model = AutoModelForCausalLM.from_pretrained("model")
row = torch.tensor([1, 2, 3, 4])
rows = [{"input_ids": row, "labels": row}] * 64
Trainer(model=model, args=args, train_dataset=rows).train()
"""
# A user's script with its own loop, as Accelerate's documentation has it.
ACCELERATE_SCRIPT = """
import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader
from transformers import AutoModelForCausalLM

accelerator = Accelerator(gradient_accumulation_steps=4)
model = AutoModelForCausalLM.from_pretrained("model")
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
loader = DataLoader([{"input_ids": torch.tensor([1, 2, 3, 4])}] * 64, batch_size=2)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
"""
# The same rows in the same order on both sides; each rank prints its losses.
LOSS_YAML = """\
compute_environment: LOCAL_MACHINE
distributed_type: DEEPSPEED
deepspeed_config: {zero_stage: 2, gradient_accumulation_steps: 1, gradient_clipping: 0.5}
mixed_precision: 'no'
num_machines: 1
num_processes: 2
"""
LOSS_SCRIPT = """
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch.utils.data import DataLoader
from transformers import AutoModelForCausalLM

set_seed(42)
accelerator = Accelerator()
model = AutoModelForCausalLM.from_pretrained("model")
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
rows = [{"input_ids": torch.arange(n, n + 8), "labels": torch.arange(n, n + 8)} for n in range(16)]
loader = DataLoader(rows, batch_size=2)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
model.train()
for step, batch in enumerate(loader):
    with accelerator.accumulate(model):
        loss = model(**batch).loss
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
    print(f"rank {accelerator.process_index} loss {loss.item():.6f}", flush=True)
    if step == 2:
        break
"""
LOSS_TRAINER = """
import json

import torch
from torch.utils.data import SequentialSampler
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments


class InOrder(Trainer):
    def _get_train_sampler(self, *given):
        return SequentialSampler(self.train_dataset)

    def compute_loss(self, model, inputs, *given, **named):
        loss = super().compute_loss(model, inputs, *given, **named)
        print(f"rank {self.args.process_index} loss {loss.item():.6f}", flush=True)
        return loss


with open("training_args.json", encoding="utf-8") as file:
    args = TrainingArguments(**json.load(file), save_strategy="no", report_to="none")
model = AutoModelForCausalLM.from_pretrained("model")
rows = [{"input_ids": torch.arange(n, n + 8), "labels": torch.arange(n, n + 8)} for n in range(16)]
InOrder(model=model, args=args, train_dataset=rows).train()
"""
DS = {
    "train_batch_size": "auto",
    "train_micro_batch_size_per_gpu": "auto",
    "gradient_accumulation_steps": "auto",
    "gradient_clipping": "auto",
    "zero_allow_untested_optimizer": True,
    "bf16": {"enabled": "auto"},
    "zero_optimization": {"stage": 2, "overlap_comm": False},
}
ARGUMENTS = {
    "output_dir": "out",
    "deepspeed": "ds.json",
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 4,
    "learning_rate": 1e-4,
    "max_grad_norm": 0.5,
    "bf16": True,
    "max_steps": 2,
    "report_to": "none",
}
FIELDS = """\
compute_environment: LOCAL_MACHINE
distributed_type: DEEPSPEED
deepspeed_config: {zero_stage: 2, gradient_accumulation_steps: 4, gradient_clipping: 0.5}
mixed_precision: bf16
num_machines: 1
num_processes: 2
"""
FSDP = """\
compute_environment: LOCAL_MACHINE
distributed_type: FSDP
fsdp_config:
  fsdp_version: 1
  fsdp_sharding_strategy: FULL_SHARD
  fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP
mixed_precision: bf16
num_machines: 1
num_processes: 2
"""


class Migration(NamedTuple):
    """A set-up of `source`, and how it is carried over to `target`.

    beside: the user's own files that the target needs. words: its launch, unless the rendered one does.
    """

    name: str
    source: str
    files: Mapping[str, str]
    command: tuple[str, ...]
    target: str
    environ: Mapping[str, str] = {}
    sets: tuple[str, ...] = ()
    base: str = ""
    sharding: str = ""
    beside: Mapping[str, str] = {}
    only_target: bool = False


# gloo for want of GPUs; a curve whose numbers an option can change
_CURVE = (
    'dict(type="LinearLR", start_factor=1e-5, by_epoch=True, begin=0, end=0.1, convert_to_iter_based=True)',
    'dict(type="CosineAnnealingLR", by_epoch=True, begin=0.1, end=1, convert_to_iter_based=True)',
)
_CONFIG = xtuner.config(
    rest={
        "env_cfg": 'dict(dist_cfg=dict(backend="gloo"))',
        "param_scheduler": f"[{', '.join(_CURVE)}]",
    }
)
_LF = lf.changed(
    lf.BASE,
    {"gradient_accumulation_steps": 4, "per_device_train_batch_size": 2, "max_grad_norm": 0.5},
)
_LF_FILES = {"train.yaml": lf.yaml_of(_LF), "ds.json": json.dumps(DS)}
_LF_SETS = ("frameworks.llamafactory.dataset=identity", "frameworks.llamafactory.template=qwen",
            "model.name_or_path=model", "training.output_dir=out", "training.max_steps=2",
            "frameworks.llamafactory.overwrite_cache=true", "training.sequence_length=64")  # fmt: skip
_XTUNER_FILES = {"cfg.py": _CONFIG, "train.json": xtuner.ROWS, "ds.json": json.dumps(xtuner.AUTO)}
_TRAINER_FILES = {
    "training_args.json": json.dumps(ARGUMENTS),
    "ds.json": json.dumps(DS),
    "train.py": TRAINER_SCRIPT,
}
_TORCHRUN = ("torchrun", "--nproc_per_node", "2")
MIGRATIONS = (
    Migration("llamafactory-xtuner", "llamafactory", _LF_FILES, lf.CLI, "xtuner",
              {"FORCE_TORCHRUN": "1", "NPROC_PER_NODE": "2"}, base="cfg.py",
              beside={"cfg.py": _CONFIG, "train.json": xtuner.ROWS}),
    Migration("xtuner-llamafactory", "xtuner", _XTUNER_FILES, tuple(xtuner.command()), "llamafactory",
              {"NPROC_PER_NODE": "2"}, sets=_LF_SETS),
    Migration("accelerate-trainer", "accelerate", {"a.yaml": FIELDS, "train.py": ACCELERATE_SCRIPT},
              ("accelerate", "launch", "--config_file", "a.yaml", "train.py"), "trainer",
              sets=("training.output_dir=out", "training.max_steps=2", "launch.kind=torchrun"),
              beside={"train.py": TRAINER_SCRIPT}),
    Migration("trainer-accelerate", "trainer",
              _TRAINER_FILES,
              (*_TORCHRUN, "train.py"), "accelerate", beside={"train.py": ACCELERATE_SCRIPT}),
    Migration("accelerate-accelerate", "accelerate", {"a.yaml": FIELDS, "train.py": ACCELERATE_SCRIPT},
              ("accelerate", "launch", "--config_file", "a.yaml", "train.py"), "accelerate",
              sets=("deepspeed.zero_optimization.round_robin_gradients=true",),
              beside={"train.py": ACCELERATE_SCRIPT}),
    Migration("fsdp-zero3", "accelerate", {"a.yaml": FSDP, "train.py": ACCELERATE_SCRIPT},
              ("accelerate", "launch", "--config_file", "a.yaml", "train.py"), "accelerate",
              sharding="zero", beside={"train.py": ACCELERATE_SCRIPT}, only_target=True),
)  # fmt: skip


LOSSES = Migration(
    "accelerate-trainer-losses", "accelerate", {"a.yaml": LOSS_YAML, "train.py": LOSS_SCRIPT},
    ("accelerate", "launch", "--config_file", "a.yaml", "train.py"), "trainer",
    sets=("training.output_dir=out", "training.max_steps=3"), beside={"train.py": LOSS_TRAINER},
)  # fmt: skip


def losses(case: Case, folder: Path) -> list[tuple[str, float]]:
    """Inside the environment: train to the end, and what the ranks printed, by rank."""
    import re

    from conformance.launcher import alone, child_environment
    from conformance.oracle.__main__ import tiny_model
    from conformance.oracle.case import lay_out

    lay_out(case, folder, tiny_model(ENVIRONMENT[case["framework"]]))
    environment = {**child_environment(folder, folder / "record.json", {}), **case["environ"]}
    with alone():
        done = subprocess.run(
            case["command"], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
    found = re.findall(r"rank (\d) loss ([\d.]+)", done.stdout)
    if not found:
        print(done.stderr[:6000], file=sys.stderr)
    return sorted(((rank, float(loss)) for rank, loss in found), key=lambda entry: entry[0])


def check_losses() -> list[str]:
    """Where the losses of three steps differ by more than 1e-4."""
    seen = []
    for case in (source_case(LOSSES), target_case(LOSSES)):
        with tempfile.TemporaryDirectory(prefix="losses-") as name:
            asked, answer = Path(name) / "case.json", Path(name) / "seen.json"
            asked.write_text(json.dumps(case), encoding="utf-8")
            python = ROOT / ".nox" / "conformance-hf" / "bin" / "python"
            words = [
                str(python),
                "-m",
                "conformance.migrations",
                "--losses",
                str(asked),
                "--out",
                str(answer),
            ]
            subprocess.run(words, cwd=ROOT, check=True)
            seen.append(json.loads(answer.read_text(encoding="utf-8")))
    before, after = seen
    print(f"losses before {before}\nlosses after  {after}")
    if len(before) != 6 or len(after) != 6:
        return ["not three steps on two ranks"]
    return [f"{x} before, {y} after" for x, y in zip(before, after, strict=True) if abs(x[1] - y[1]) > 1e-4]


def source_case(one: Migration) -> Case:
    """What is trained before."""
    return complete(
        {"id": one.name, "framework": one.source, "files": dict(one.files), "command": list(one.command),
         "environ": dict(one.environ)}
    )  # fmt: skip


def target_case(one: Migration) -> Case:
    """What `migrate` makes of it.

    Raises:
        ValueError: the target refuses it.
    """
    from dsbridge.framework import Base
    from dsbridge.migrating import migrate
    from dsbridge.prediction import launch_words
    from dsbridge.reading import Files

    words = (*(f"{name}={value}" for name, value in one.environ.items()), *one.command)
    found = migrate(
        Files(ROOT, dict(one.files)),
        command=words,
        target=one.target,
        sharding=one.sharding,
        sets=one.sets,
        base=Base(one.base, one.beside[one.base]) if one.base else None,
    )
    if found.refused:
        raise ValueError("\n".join(d.to_text() for d in found.diagnostics if d.severity.value == "error"))
    launch = launch_words(found.artifacts)
    environ = dict(word.split("=", 1) for word in launch[: len(found.artifacts.launch.env)])
    command = launch[len(environ) :]
    return complete(
        {"id": one.name, "framework": one.target, "files": {**one.beside, **found.artifacts.files},
         "command": command, "environ": environ}
    )  # fmt: skip


def observed(case: Case, folder: Path) -> dict[str, Any]:
    """Two real ranks, in the environment of the case's framework."""
    asked, answer = folder / "case.json", folder / "seen.json"
    asked.write_text(json.dumps(case), encoding="utf-8")
    python = ROOT / ".nox" / f"conformance-{ENVIRONMENT[case['framework']]}" / "bin" / "python"
    words = [str(python), "-m", "conformance.migrations", "--observe", str(asked), "--out", str(answer)]
    words += ["--env", ENVIRONMENT[case["framework"]]]
    subprocess.run(words, cwd=ROOT, check=True)
    seen: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    return seen


def observe(options: argparse.Namespace) -> None:
    """Inside the environment: run the case and write what was seen."""
    from conformance.launcher import tail
    from conformance.oracle.__main__ import tiny_model
    from conformance.oracle.real import run_real

    case = json.loads(options.observe.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="migration-") as name:
        seen = run_real(case, Path(name), tiny_model(options.env))
        if not seen["engine"]:
            print(tail(Path(name) / "log.txt", 25), file=sys.stderr)
    options.out.write_text(json.dumps(seen), encoding="utf-8")


def check(one: Migration) -> list[str]:
    """Where the two engines differ."""
    after_case = target_case(one)
    with tempfile.TemporaryDirectory(prefix="migrate-") as name:
        after = observed(after_case, Path(name))
        before = {"engine": None} if one.only_target else observed(source_case(one), Path(name))
    if not after["engine"]:
        return [f"the target builds no engine: {after['error']}"]
    if one.only_target:
        return [] if after["engine"]["zero_stage"] == 3 else [f"stage {after['engine']['zero_stage']}"]
    if not before["engine"]:
        return [f"the source builds no engine: {before['error']}"]
    return [
        f"{key}: {before['engine'][key]!r} before, {after['engine'][key]!r} after"
        for key in TOLD
        if before["engine"][key] != after["engine"][key]
    ]


def main() -> int:
    """Exit code 1 if a migration changes what is trained."""
    parser = argparse.ArgumentParser(description="Migrations, on the real frameworks.")
    parser.add_argument("--only", default="", help="migrations whose name contains this")
    parser.add_argument("--observe", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--env", default="", help=argparse.SUPPRESS)
    parser.add_argument("--losses", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.losses:
        with tempfile.TemporaryDirectory(prefix="trained-") as name:
            found = losses(json.loads(options.losses.read_text(encoding="utf-8")), Path(name))
        options.out.write_text(json.dumps(found), encoding="utf-8")
        return 0
    if options.observe:
        observe(options)
        return 0
    failed = 0
    for one in (one for one in MIGRATIONS if options.only in one.name):
        try:
            wrong = check(one)
        except ValueError as error:
            wrong = [str(error)]
        failed += bool(wrong)
        print(f"{'differs' if wrong else 'same':8} {one.name}", *wrong, sep="\n    ", flush=True)
    if options.only in LOSSES.name:
        wrong = check_losses()
        failed += bool(wrong)
        print(f"{'differs' if wrong else 'same':8} {LOSSES.name}", *wrong, sep="\n    ", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
