"""The Trainer, three steps and a checkpoint, three more; or from that checkpoint on. RESUMING says which."""

from __future__ import annotations

import json
import os
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    HfArgumentParser,
    LlamaConfig,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from conformance.resuming import live

ASKED = json.loads(os.environ["RESUMING"])
ROWS = [
    {"input_ids": torch.arange(i, i + 16) % 64, "labels": torch.arange(i, i + 16) % 64} for i in range(64)
]


def model() -> Any:
    """A tiny Llama, with an adapter if asked; a run that resumes starts from other weights."""
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=4,
        attn_implementation="sdpa",
    )
    fresh = bool(ASKED.get("resume"))
    torch.manual_seed(2 if fresh and not ASKED.get("lora") else 1)
    made = AutoModelForCausalLM.from_config(config)
    if ASKED.get("lora"):
        from peft import LoraConfig, get_peft_model

        torch.manual_seed(2 if fresh else 1)
        made = get_peft_model(made, LoraConfig(r=4, target_modules=["q_proj", "v_proj"]))
    return made


class Look(TrainerCallback):
    """Looks at the engine when a checkpoint is written, and when training begins."""

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if (
            not ASKED.get("resume")
            and state.global_step == 3
            and hasattr(trainer.model_wrapped, "global_steps")
        ):
            live.keep(trainer.model_wrapped, ASKED["truth"])

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if ASKED.get("resume"):
            self.began = state.global_step
            if hasattr(trainer.model_wrapped, "global_steps"):
                ANSWER.update(live.compared(trainer.model_wrapped, ASKED["truth"]))
            ANSWER["global_step"] = state.global_step


ANSWER: dict[str, Any] = {}
arguments = HfArgumentParser(TrainingArguments).parse_args_into_dataclasses()[0]
trainer = Trainer(model=model(), args=arguments, train_dataset=ROWS, callbacks=[Look()])
trainer.train(resume_from_checkpoint=ASKED.get("resume"))
ANSWER["losses"] = [row["loss"] for row in trainer.state.log_history if "loss" in row][-3:]
ANSWER["rate"] = trainer.state.log_history[-2].get("learning_rate")
live.tell(ASKED["answer"], ANSWER)
