#!/usr/bin/env bash
# Written by dsbridge 0.1.0 for llamafactory from spec sha256:e4eaea259bb9. Edit the spec, not this file.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"  # the files named below lie beside this script
export FORCE_TORCHRUN=1
export NNODES=2
export NODE_RANK="${NODE_RANK:?set it to 0 on the first node, 1 on the second, and so on}"
export NPROC_PER_NODE=8
export MASTER_ADDR=node0.cluster.internal
export MASTER_PORT=29500
exec llamafactory-cli train train.yaml
