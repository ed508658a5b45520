"""An Accelerate script as people write them: `dsbridge explain` reads it and never runs it."""

from accelerate import Accelerator
from datasets import load_dataset
from torch.optim import AdamW
from torch.utils.data import DataLoader
from transformers import AutoModelForCausalLM

accelerator = Accelerator(gradient_accumulation_steps=4)
model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen2.5-7B-Instruct")
optimizer = AdamW(model.parameters(), lr=1e-5)
loader = DataLoader(load_dataset("json", data_files="train.jsonl", split="train"), batch_size=2)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)

for batch in loader:
    with accelerator.accumulate(model):
        accelerator.backward(model(**batch).loss)
        optimizer.step()
        optimizer.zero_grad()
