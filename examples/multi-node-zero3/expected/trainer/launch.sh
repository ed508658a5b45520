#!/usr/bin/env bash
# Written by dsbridge 0.1.0 for trainer from spec sha256:e4eaea259bb9. Edit the spec, not this file.
# train.py is yours: it makes its arguments as train_snippet.py shows
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"  # the files named below lie beside this script
exec torchrun \
  --nnodes 2 \
  --node_rank "${NODE_RANK:?set it to 0 on the first node, 1 on the second, and so on}" \
  --nproc_per_node 8 \
  --master_addr node0.cluster.internal \
  --master_port 29500 \
  train.py
