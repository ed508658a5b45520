"""An ordinary Trainer script: every setting is in the rendered `training_args.json`."""

from __future__ import annotations

import json
from pathlib import Path

from common import load_model, load_rows
from transformers import Trainer, TrainingArguments, default_data_collator


def main() -> None:
    given = json.loads(Path("training_args.json").read_text(encoding="utf-8"))
    args = TrainingArguments(**given)
    # After the arguments: under ZeRO-3 they are what makes from_pretrained split the weights.
    model = load_model()
    rows = load_rows()
    trainer = Trainer(model, args, train_dataset=rows, data_collator=default_data_collator)
    trainer.train()


if __name__ == "__main__":
    main()
