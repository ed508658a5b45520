"""What an XTuner run holds when it saves, and when it goes on. RESUMING says which."""

from __future__ import annotations

import json
import os
from typing import Any

from mmengine.hooks import Hook

from conformance.resuming import live

SAVED_AT = 3


class Look(Hook):
    """Looks at the engine after the third iteration, or when training begins; notes the losses."""

    def __init__(self) -> None:
        self.asked = json.loads(os.environ["RESUMING"])
        self.answer: dict[str, Any] = {"losses": []}

    def before_train(self, runner: Any) -> None:
        """Of a run that resumes: where it is, and what it holds."""
        if self.asked.get("resume"):
            engine = runner.model.model
            self.answer |= {**live.compared(engine, self.asked["truth"]), "iteration": runner.iter}
            self.answer["rate"] = engine.optimizer.param_groups[0]["lr"]

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """runner.iter is not counted up yet. The loss is the mean of all ranks."""
        done = runner.iter + 1
        if done == SAVED_AT and not self.asked.get("resume"):
            live.keep(runner.model.model, self.asked["truth"])
        if done > SAVED_AT:
            self.answer["losses"].append(live.mean(outputs["loss"]))

    def after_train(self, runner: Any) -> None:
        """To the end."""
        live.tell(self.asked["answer"], self.answer)
