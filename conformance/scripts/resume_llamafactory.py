"""LLaMA-Factory trains three steps, saves, and three more; or goes on from there. RESUMING says which."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import recorder  # conformance/spy, which keeps the engines
import yaml
from llamafactory.train.tuner import run_exp
from transformers import TrainerCallback

from conformance.resuming import live

ASKED = json.loads(os.environ["RESUMING"])
ANSWER: dict[str, Any] = {}


class Look(TrainerCallback):
    """Looks at the engine when a checkpoint is written, and when training begins."""

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if not ASKED.get("resume") and state.global_step == 3:
            live.keep(recorder.ENGINES[-1], ASKED["truth"])

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if ASKED.get("resume"):
            ANSWER.update(live.compared(recorder.ENGINES[-1], ASKED["truth"]))
            ANSWER["global_step"] = state.global_step

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        ANSWER["losses"] = [row["loss"] for row in state.log_history if "loss" in row][-3:]
        live.tell(ASKED["answer"], ANSWER)


run_exp(yaml.safe_load(Path(sys.argv[1]).read_text(encoding="utf-8")), callbacks=[Look()])
