"""What each framework saves, how it is resumed, and the command of a run."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from conformance.resuming import llamafactory_cases, xtuner_cases

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
Row = dict[str, Any]
CHECKPOINT = {"trainer": "out/checkpoint-3", "accelerate": "state", "xtuner": "work/iter_3.pth",
              "llamafactory": "out/checkpoint-3"}  # fmt: skip
OWN = {"xtuner": xtuner_cases, "llamafactory": llamafactory_cases}  # these train by their own programs
WRITES = ""
SAVED: dict[str, Row] = {
    **{
        f"{name}-z{stage}": {"framework": name, "stage": stage}
        for name in ("trainer", "accelerate")
        for stage in (1, 2, 3)
    },
    "trainer-z2-lora": {"framework": "trainer", "stage": 2, "lora": True},
    "trainer-z3-lora": {"framework": "trainer", "stage": 3, "lora": True},
    "trainer-z2-scheduler": {"framework": "trainer", "stage": 2, "scheduler": True},
    **xtuner_cases.SAVED,
    **llamafactory_cases.SAVED,
}  # fmt: skip
BASE: Row = {"world": 2, "dtype": "bf16"}


def row(saved: str, name: str, **changes: Any) -> Row:
    """One resumption."""
    told = {key: changes.pop(key) for key in ("convert", "gone", "by", "env") if key in changes}
    was = {**BASE, **SAVED[saved]}
    return {"id": f"{saved}.{name}", "saved": saved, "was": was, "plan": {**was, **changes}, **told}


def cases(env: str) -> Iterator[Row]:
    """Every resumption of an environment."""
    if env in OWN:
        yield from (row(saved, name, **changes) for saved, name, changes in OWN[env].rows())
        return
    names = ("trainer", "accelerate")
    for saved, made in SAVED.items():
        if made["framework"] not in names:
            continue
        yield row(saved, "same")
        yield row(saved, "w1", world=1)
    for saved in (
        "trainer-z2",
        "trainer-z3",
        "accelerate-z2",
        "accelerate-z3",
        "trainer-z2-lora",
        "trainer-z3-lora",
    ):
        yield row(saved, "u-w1", convert="universal inject", universal=True, world=1)
    yield row("trainer-z2", "w4", world=4)
    yield row("trainer-z2", "z3", stage=3)
    yield row("trainer-z2", "z1", stage=1)
    yield row("trainer-z2", "fp32", dtype="fp32")
    yield row("trainer-z2", "lora", lora=True)
    yield row("trainer-z2", "no-latest", gone="latest")
    yield row("trainer-z2", "scheduler", scheduler=True)
    yield row("trainer-z2", "without-deepspeed", stage=None)
    yield row("trainer-z2", "not-converted", universal=True, world=1)
    yield row("trainer-z2", "other-rate", rate=1e-3)
    yield row("trainer-z2-lora", "full", lora=False)
    yield row("trainer-z2-scheduler", "no-scheduler", scheduler=False)
    yield row("accelerate-z2", "no-latest", gone="latest")
    yield row("accelerate-z2", "z1", stage=1)
    yield row("accelerate-z2", "z3", stage=3)


def config(plan: Row) -> dict[str, Any]:
    """Its DeepSpeed config."""
    if own := OWN.get(plan["framework"]):
        return own.config(plan)
    auto = plan["framework"] == "trainer"
    ds: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": "auto" if auto else 2,
        "gradient_accumulation_steps": 1,
        "zero_optimization": {"stage": plan["stage"], "stage3_gather_16bit_weights_on_model_save": True},
        "zero_force_ds_cpu_optimizer": False,
        "zero_allow_untested_optimizer": True,
    }
    if auto:
        ds["bf16"] = {"enabled": "auto"}
    elif plan["dtype"] == "bf16":
        ds["bf16"] = {"enabled": True}
    if plan.get("scheduler"):
        names = ("warmup_min_lr", "warmup_max_lr", "warmup_num_steps")
        ds["scheduler"] = {"type": "WarmupLR", "params": dict.fromkeys(names, "auto")}
    if plan.get("universal"):
        ds["checkpoint"] = {"load_universal": True}
    return ds


def command(folder: Path, plan: Row, resume: str, root: Path) -> tuple[list[str], int, Row]:
    """The words after torchrun, the number of ranks, and what the script is asked."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ds.json").write_text(
        json.dumps(config(plan) if plan["stage"] is not None else {}), encoding="utf-8"
    )
    asked = {"truth": str(folder / "truth.pt"), "lora": plan.get("lora"), "save": str(folder / "state")}
    if resume:
        asked["resume"] = resume
    if own := OWN.get(plan["framework"]):
        return own.words(folder, plan, resume, root), plan["world"], asked
    if plan["framework"] == "accelerate":
        return [str(SCRIPTS / "resume_accelerate.py")], plan["world"], asked
    words = [str(SCRIPTS / "resume_trainer.py"), *arguments(plan)]
    return words, plan["world"], asked


def arguments(plan: Row) -> list[str]:
    """The Trainer's."""
    words = (
        "--output_dir out --max_steps 6 --save_steps 3 --report_to none --per_device_train_batch_size 2 "
        "--logging_steps 1"
    )
    rate = ["--learning_rate", str(plan.get("rate", 1e-2))]
    precision = ["--bf16"] if plan["dtype"] == "bf16" else []
    ds = ["--deepspeed", "ds.json"] if plan["stage"] is not None else ["--use_cpu"]
    return [*words.split(), *rate, *precision, *ds]


def resumed(checkpoint: Path, plan: Row, row: Row) -> Path:
    """The path that the run is given: XTuner's is the folder of the tag itself."""
    if row.get("by") == "folder":
        return checkpoint.parent
    if plan["framework"] == "xtuner" and row.get("convert"):
        return checkpoint.with_name(f"{checkpoint.name}_universal")
    return checkpoint


def kept(row: Row, checkpoint: Path) -> dict[str, Path]:
    """What is stored of a checkpoint, by its name in the archive."""
    if row["plan"]["framework"] != "xtuner":
        return {f"{row['id']}/{checkpoint.name}": checkpoint}
    both = (checkpoint, checkpoint.with_name(f"{checkpoint.name}_universal"))
    folder = f"{row['saved']}-universal" if row.get("convert") else row["saved"]
    return {f"{folder}/work/{path.name}": path for path in both if path.is_dir()}


def converted(checkpoint: Path, framework: str) -> dict[str, str] | None:
    """DeepSpeed's own conversion, with the words that `check --resume` prints."""
    if framework == "xtuner":  # the tag is the folder itself
        checkpoint, tag = checkpoint.parent, checkpoint.name
    elif framework == "accelerate":
        tag = "pytorch_model"
    else:
        tag = (checkpoint / "latest").read_text(encoding="utf-8")
    words = [sys.executable, "-m", "deepspeed.checkpoint.ds_to_universal", "--input_folder", tag]
    words += ["--output_folder", f"{tag}_universal", "--inject_missing_state"]
    done = subprocess.run(
        words, cwd=checkpoint, env={**os.environ, "DS_ACCELERATOR": "cpu"}, capture_output=True, text=True
    )
    if done.returncode == 0:
        if framework == "accelerate":  # it asks for the folder pytorch_model and no other
            (checkpoint / tag).rename(checkpoint / f"{tag}_sharded")
            (checkpoint / f"{tag}_universal").rename(checkpoint / tag)
        return None
    last = done.stderr.strip().splitlines()[-1]
    return {"type": last.partition(":")[0], "message": last.partition(":")[2].strip()[:300]}


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Of what is installed."""
    found = {}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def summary(line: Row) -> str:
    """In a few words."""
    for key in ("error", "convert_error"):
        if key in line:
            return f"{key} {line[key]['type']}: {line[key]['message'][:150]}"
    return json.dumps({key: value for key, value in line["seen"].items() if key != "losses"})


def told(before: Row | None, after: Row) -> str:
    """How a line differs from its recording; "" for not at all."""
    if before is None:
        return " (not recorded)"
    return "" if essence(before) == essence(after) else f" (was {summary(before)})"


def essence(line: Row) -> Any:
    """What must come out again."""
    for key in ("error", "convert_error"):
        if key in line:
            return [key, line[key]["type"]]
    return {key: value for key, value in line["seen"].items() if key not in ("losses", "rate")}
