"""An XTuner config as parsing sees it: values by dotted path, and the leaves they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from dsbridge.rulebook import UNSET, Unknown, lookup
from dsbridge.sdk import Claim

# what XTuner and mmengine read of a config; any other variable is there to be put into these
READ = frozenset(
    {
        "auto_scale_lr", "custom_hooks", "data_preprocessor", "default_hooks", "default_scope", "env_cfg",
        "experiment_name", "framework", "load_from", "log_level", "log_processor", "lora", "model",
        "model_wrapper_cfg", "optim_wrapper", "param_scheduler", "randomness", "resume", "resume_optimizer",
        "resume_param_scheduler", "runner_type", "sequence_parallel_size", "strategy", "test_cfg",
        "test_dataloader", "test_evaluator", "train_cfg", "train_dataloader", "trainer", "training_args",
        "use_varlen_attn", "val_cfg", "val_dataloader", "val_evaluator", "visualizer", "work_dir",
    }
)  # fmt: skip


class View(NamedTuple):
    """A config. way: who brings the DeepSpeed config: "file", "own" strategy, "trainer"; "" nobody."""

    cfg: Mapping[str, Any]
    way: str = ""
    trainer: bool = False

    @property
    def deepspeed(self) -> bool:
        return bool(self.way)

    def get(self, path: str) -> Any:
        """The value; None where there is none, or none that is known."""
        value = lookup(self.cfg, path)
        return None if value is UNSET or isinstance(value, Unknown) else value

    def has(self, path: str) -> bool:
        """True for a value, known or not."""
        return lookup(self.cfg, path) not in (UNSET, None)

    def number(self, path: str) -> Any:
        """The value if it is a number, else None."""
        value = self.get(path)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    def name(self, path: str) -> str:
        """The last word of what a field names: `AdamW` of torch.optim.AdamW; "" where it names nothing."""
        value = self.get(path)
        if isinstance(value, Mapping):
            value = value.get("name")
        return value.rpartition(".")[2] if isinstance(value, str) else ""

    def claim(self, path: str, value: Any, *keys: str) -> Claim:
        """A claim by fields of the config."""
        return Claim(path, value, tuple(key(name) for name in keys))


def key(path: str) -> tuple[str, ...]:
    """The leaf of a field. What names a class is two leaves."""
    return ("cfg", *path.split("."))
