"""The same run with its Accelerator made from dsbridge.yaml: torchrun starts it, and no YAML is needed."""

import torch
from torch.utils.data import DataLoader
from transformers import AutoModelForCausalLM, AutoTokenizer, default_data_collator

from dsbridge.hooks import accelerator, verify

MODEL = "Qwen/Qwen2.5-0.5B-Instruct"
TEXTS = ["ZeRO splits the optimizer state over the ranks", "gradients are averaged, then clipped"] * 64
STEPS = 2


def main() -> None:
    run = accelerator("dsbridge.yaml")
    model = AutoModelForCausalLM.from_pretrained(MODEL)
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    made = [tokenizer(text, padding="max_length", truncation=True, max_length=32) for text in TEXTS]
    rows = [{**row, "labels": row["input_ids"]} for row in made]
    loader = DataLoader(rows, batch_size=2, collate_fn=default_data_collator)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    model, optimizer, loader = run.prepare(model, optimizer, loader)
    verify(run, "dsbridge.yaml")
    done = 0
    for batch in loader:
        with run.accumulate(model):
            run.backward(model(**batch).loss)
            optimizer.step()
            optimizer.zero_grad()
        done += run.sync_gradients
        if done == STEPS:
            break
    run.wait_for_everyone()


if __name__ == "__main__":
    main()
