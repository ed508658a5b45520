"""What to type before a checkpoint can be loaded another way.

The commands were run on real checkpoints of DeepSpeed, the Trainer, Accelerate and XTuner, and the results
loaded. For XTuner the folder's name is the tag (mmengine/_strategy/deepspeed.py, resume).
"""

from __future__ import annotations

import shlex
from pathlib import PurePath

from dsbridge.checkpoints.folder import Checkpoint
from dsbridge.resuming.plan import Planned

OURS = "pytorch_model"  # the one tag that Accelerate writes and loads


def to_universal(checkpoint: Checkpoint, plan: Planned) -> str:
    """ds_to_universal.py for this checkpoint; what only Megatron writes is put in where it is missing."""
    tag, saved = checkpoint.tag, checkpoint.saved
    made = f"{tag}_universal"
    words = ["python", "-m", "deepspeed.checkpoint.ds_to_universal", "--input_folder", tag]
    words += ["--output_folder", made]
    if saved is None or (saved.stage != 3 and not saved.injectable):
        words.append("--inject_missing_state")
    then = moved(checkpoint, made) if plan.framework == "accelerate" else ""
    return f"cd {shlex.quote(checkpoint.folder)} && {shlex.join(words)}{then and f' && {then}'}"


def moved(checkpoint: Checkpoint, made: str) -> str:
    """load_state asks for the folder pytorch_model and no other: the universal one takes its place."""
    first = shlex.join(["mv", checkpoint.tag or OURS, f"{OURS}_sharded"])
    return f"{first} && {shlex.join(['mv', made, OURS])}"


def told_to_load(checkpoint: Checkpoint, plan: Planned) -> str:
    """What the run is told to load a universal checkpoint."""
    key = '"checkpoint": {"load_universal": true}'
    if plan.framework == "xtuner":
        path = PurePath(checkpoint.folder) / f"{checkpoint.tag}_universal"
        return f"write {key} into the DeepSpeed config and resume with --resume {shlex.quote(str(path))}"
    return f"write {key} into the DeepSpeed config and resume again"


def to_weights(checkpoint: Checkpoint, out: str = "weights") -> str:
    """zero_to_fp32.py, which DeepSpeed puts beside the tags."""
    folder = PurePath(checkpoint.folder)
    words = ["python", str(folder / "zero_to_fp32.py"), str(folder), str(folder / out)]
    if checkpoint.latest != checkpoint.tag:
        words += ["-t", checkpoint.tag]
    return shlex.join(words)
