"""The script that a rendered launch starts is the user's own; where it is not there, a plain one."""

from __future__ import annotations

from dsbridge.artifacts import Artifacts
from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.spec import ParallelSpec
from dsbridge.spec.batch import batch_numbers
from dsbridge.values import UNSET

ASSUMED = Code("EX010", "script-assumed", Severity.INFO, "The training script is not there.")
CODES = (ASSUMED,)

_ACCELERATE = """from accelerate import Accelerator
from accelerate.utils import DummyOptim, DummyScheduler
from torch.optim import AdamW
from torch.utils.data import DataLoader
from transformers import AutoModelForCausalLM

accelerator = Accelerator()
model = AutoModelForCausalLM.from_pretrained({model!r})
optimizer = {optimizer}
loader = DataLoader(dataset, batch_size={micro})
{prepare}
"""
_TRAINER = """import json

from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

args = TrainingArguments(**json.load(open("training_args.json")))
model = AutoModelForCausalLM.from_pretrained({model!r})
trainer = Trainer(model, args, train_dataset=dataset, eval_dataset=dataset)
trainer.train()
"""
_TRL = """import json

from trl import {kind}Config, {kind}Trainer

args = {kind}Config(**json.load(open("training_args.json")))
trainer = {kind}Trainer({model!r}, args=args, train_dataset=dataset, eval_dataset=dataset)
trainer.train()
"""
_DEEPSPEED = """import deepspeed
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained({model!r})
engine, *_ = deepspeed.initialize(
    model=model, model_parameters=model.parameters(), config="ds_config.json"
)
"""


def script_for(target: str, spec: ParallelSpec) -> str:
    """A plain training script for what is rendered for a target; "" where none is needed."""
    model = spec.model.name_or_path if isinstance(spec.model.name_or_path, str) else "model"
    own = spec.frameworks.get(target, {}) if isinstance(spec.frameworks, dict) else {}
    named = own.get("class") if target == "trainer" else None
    if isinstance(named, str) and named.endswith("Config"):
        return _TRL.format(model=model, kind=named.removesuffix("Config"))
    if target == "trainer":
        return _TRAINER.format(model=model)
    if target == "deepspeed":
        return _DEEPSPEED.format(model=model)
    if target != "accelerate":
        return ""
    micro = batch_numbers(spec).micro or 1
    by_deepspeed = spec.optimizer.owner == "deepspeed"
    scheduled = spec.scheduler.owner == "deepspeed"
    lr = spec.optimizer.lr if isinstance(spec.optimizer.lr, float) else 1e-4
    optimizer = f"{'DummyOptim' if by_deepspeed else 'AdamW'}(model.parameters(), lr={lr!r})"
    given = "model, optimizer, loader"
    lines = [f"{given} = accelerator.prepare({given})"]
    if scheduled:
        steps = spec.training.max_steps
        total = f", total_num_steps={steps}" if isinstance(steps, int) and steps > 0 else ""
        lines = [
            f"scheduler = DummyScheduler(optimizer{total})",
            f"{given}, scheduler = accelerator.prepare({given}, scheduler)",
        ]
    return _ACCELERATE.format(model=model, optimizer=optimizer, micro=micro, prepare="\n".join(lines))


def with_script(
    artifacts: Artifacts, spec: ParallelSpec, *, present: bool = False
) -> tuple[dict[str, str], tuple[Diagnostic, ...]]:
    """The rendered files, and the assumed script where the user's is not `present`."""
    files = dict(artifacts.files)
    name = str(spec.launch.script) if spec.launch.script is not UNSET else "train.py"
    text = script_for(artifacts.target, spec)
    if not text or name in files or present:
        return files, ()
    files[name] = text
    message = f"{name} is not here: a plain script for {artifacts.target} is assumed"
    return files, (ASSUMED(message, hint="Put your script beside the spec, or explain the launch command."),)
