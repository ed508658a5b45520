"""The same run with its arguments made from dsbridge.yaml: nothing is written twice."""

from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, default_data_collator

from dsbridge.hooks import VerifyCallback, training_arguments

MODEL = "Qwen/Qwen2.5-0.5B-Instruct"
TEXTS = ["ZeRO splits the optimizer state over the ranks", "gradients are averaged, then clipped"] * 64


def main() -> None:
    args = training_arguments("dsbridge.yaml", save_strategy="no", report_to="none")
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
