#!/usr/bin/env bash
# Written by dsbridge 0.1.0 for xtuner from spec sha256:3ae719b85646. Edit the spec, not this file.
# xtuner train exits with 0 even when training fails (0.2.0 entry_point.py): read its log.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"  # the files named below lie beside this script
export NPROC_PER_NODE=2
export NNODES=1
export NODE_RANK="${NODE_RANK:-0}"
export ADDR="${MASTER_ADDR:-127.0.0.1}"
export PORT="${MASTER_PORT:-29500}"
exec xtuner train qwen1_5_7b_chat_qlora_alpaca_e3 \
  --deepspeed ds_config.json \
  --cfg-options train_dataloader.batch_size=1 \
  optim_wrapper.accumulative_counts=16 \
  train_dataloader.dataset.max_length=2048 \
  randomness.seed=42 \
  optim_wrapper.clip_grad.max_norm=0.5 \
  optim_wrapper.optimizer.lr=0.0002 \
  optim_wrapper.optimizer.weight_decay=0.0 \
  'optim_wrapper.optimizer.betas=(0.9,0.999)' \
  model.llm.pretrained_model_name_or_path=Qwen/Qwen1.5-7B-Chat \
  tokenizer.pretrained_model_name_or_path=Qwen/Qwen1.5-7B-Chat \
  train_dataloader.dataset.tokenizer.pretrained_model_name_or_path=Qwen/Qwen1.5-7B-Chat \
  custom_hooks.0.tokenizer.pretrained_model_name_or_path=Qwen/Qwen1.5-7B-Chat \
  custom_hooks.1.tokenizer.pretrained_model_name_or_path=Qwen/Qwen1.5-7B-Chat \
  model.lora.r=64 \
  model.lora.lora_alpha=16 \
  model.lora.lora_dropout=0.1 \
  model.llm.quantization_config.load_in_4bit=True \
  model.llm.quantization_config.load_in_8bit=False \
  model.llm.quantization_config.bnb_4bit_compute_dtype=torch.bfloat16 \
  train_cfg.max_epochs=3 \
  default_hooks.checkpoint.interval=8000 \
  default_hooks.logger.interval=160
