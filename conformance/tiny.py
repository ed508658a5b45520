"""A model, a tokenizer and data small enough for two CPU ranks, made without any download.

Run inside the environment that trains: a tokenizer saved by transformers 5 does not load in 4.48.
`python -m conformance.tiny FOLDER` writes FOLDER/model and FOLDER/data.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

HIDDEN = 64
SPECIAL = ("<unk>", "<pad>", "<s>", "</s>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SENTENCES = (
    "ZeRO splits the optimizer state over the ranks",
    "a tensor parallel layer splits its weight matrix",
    "gradients are averaged before they are clipped",
    "the scheduler warms up and then decays",
    "two processes train this model for two steps",
    "an offloaded parameter waits in host memory",
    "every rank reads its own part of the data",
    "a checkpoint is written when training ends",
)
# The names under which LLaMA-Factory's own examples ask for their data.
LLAMAFACTORY_DATASETS = ("identity", "alpaca_en_demo", "alpaca_zh_demo")
# Enough for a warm-up of 3% of an epoch to last one step at micro batch 4: mmengine refuses none.
ROWS = 512


def rows() -> list[dict[str, str]]:
    """Instructions and answers in the alpaca columns, which both LF and XTuner read."""
    count = len(SENTENCES)
    return [
        {
            "instruction": f"Say number {index}.",
            "input": "",
            "output": f"{SENTENCES[index % count]} and {SENTENCES[(index * 3 + 1) % count]}",
        }
        for index in range(ROWS)
    ]


def write_data(folder: Path) -> None:
    """One file of rows, and LLaMA-Factory's index of it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "alpaca.json").write_text(json.dumps(rows(), indent=1), encoding="utf-8")
    index = {name: {"file_name": "alpaca.json"} for name in LLAMAFACTORY_DATASETS}
    (folder / "dataset_info.json").write_text(json.dumps(index, indent=1), encoding="utf-8")


def make_tokenizer() -> Any:
    """A word-piece tokenizer trained on the rows themselves."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((f"{r['instruction']} {r['output']}" for r in rows()), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="<|im_end|>",
        chat_template=TEMPLATE,
        model_max_length=256,
    )


def write_model(folder: Path) -> None:
    """Two Qwen2 layers, as in the examples; as many key heads as query heads, for AutoTP 2."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=512,
        hidden_size=HIDDEN,
        intermediate_size=2 * HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,
        tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main(folder: Path) -> None:
    """Write both, each time: this file may have changed since the last run."""
    write_data(folder / "data")
    write_model(folder / "model")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
