#!/usr/bin/env bash
# Written by dsbridge 0.1.0 for deepspeed from spec sha256:b64626a38f3a. Edit the spec, not this file.
# train.py is yours: it calls deepspeed.initialize(config='ds_config.json', ...)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"  # the files named below lie beside this script
exec torchrun \
  --nnodes 1 \
  --node_rank "${NODE_RANK:-0}" \
  --nproc_per_node 8 \
  --master_addr "${MASTER_ADDR:-127.0.0.1}" \
  --master_port "${MASTER_PORT:-29500}" \
  train.py
