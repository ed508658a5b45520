# Written by dsbridge 0.1.0 for trainer from spec sha256:a08095fd47da. Edit the spec, not this file.
# For your script, in this order: with ZeRO-3 the arguments make from_pretrained split the weights.
import json

from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

with open("training_args.json", encoding="utf-8") as file:
    args = TrainingArguments(**json.load(file))
model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen2.5-14B-Instruct")
trainer = Trainer(model=model, args=args, train_dataset=...)  # your data
trainer.train()
