"""A Trainer script that stops before its first step when DeepSpeed does not run as dsbridge.yaml says."""

from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Trainer,
    TrainingArguments,
    default_data_collator,
)

from dsbridge.hooks import VerifyCallback

MODEL = "Qwen/Qwen2.5-0.5B-Instruct"
TEXTS = ["ZeRO splits the optimizer state over the ranks", "gradients are averaged, then clipped"] * 64


def main() -> None:
    args = TrainingArguments(
        output_dir="out",
        per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
        learning_rate=1e-4,
        max_grad_norm=1.0,
        bf16=True,
        max_steps=2,
        save_strategy="no",
        report_to="none",
        deepspeed="ds_config.json",
    )
    model = AutoModelForCausalLM.from_pretrained(MODEL)
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    made = [tokenizer(text, padding="max_length", truncation=True, max_length=32) for text in TEXTS]
    rows = [{**row, "labels": row["input_ids"]} for row in made]
    trainer = Trainer(
        model,
        args,
        train_dataset=rows,
        data_collator=default_data_collator,
        callbacks=[VerifyCallback("dsbridge.yaml")],
    )
    trainer.train()


if __name__ == "__main__":
    main()
