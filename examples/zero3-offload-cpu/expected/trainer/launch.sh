#!/usr/bin/env bash
# Written by dsbridge 0.1.0 for trainer from spec sha256:a08095fd47da. Edit the spec, not this file.
# train.py is yours: it makes its arguments as train_snippet.py shows
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"  # the files named below lie beside this script
exec torchrun \
  --nnodes 1 \
  --node_rank "${NODE_RANK:-0}" \
  --nproc_per_node 4 \
  --master_addr "${MASTER_ADDR:-127.0.0.1}" \
  --master_port "${MASTER_PORT:-29500}" \
  train.py
