"""A Trainer script that sets a value where no file shows it: after the arguments were read."""

from __future__ import annotations

import json
from pathlib import Path

from common import load_model, load_rows
from transformers import Trainer, TrainingArguments, default_data_collator

if __name__ == "__main__":
    arguments = TrainingArguments(**json.loads(Path("training_args.json").read_text(encoding="utf-8")))
    model = load_model()
    trainer = Trainer(model, arguments, train_dataset=load_rows(), data_collator=default_data_collator)
    trainer.accelerator.state.deepspeed_plugin.hf_ds_config.config["gradient_clipping"] = 0.25
    trainer.train()
